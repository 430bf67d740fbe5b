/** `migrate`: brings the database to the schema this version needs. As a role that may create roles and schemas. */
import { Console, Effect, Redacted } from "effect"
import { readDatabaseUrl } from "../config.ts"
import { layer as database } from "../database/database.ts"
import { migrate } from "../database/migrate.ts"
import { recent } from "../database/ready.ts"

export const run = () =>
  Effect.gen(function* () {
    const url = yield* readDatabaseUrl
    yield* Effect.provide(
      recent,
      database({
        url,
        role: undefined,
        maxConnections: 1,
        applicationName: "mana-credits migrate",
        statementTimeout: "10 seconds",
        connectTimeout: "5 seconds"
      })
    )
    const console = yield* Console.Console
    yield* migrate({ url: Redacted.value(url), log: (line) => console.log(line) })
    yield* Console.log("The database is migrated.")
  })
