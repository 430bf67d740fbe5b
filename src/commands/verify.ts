/** `verify`: proves the books, for people and for jobs that watch over them. */
import { Console, Effect } from "effect"
import { readDatabaseUrl } from "../config.ts"
import { layer as database } from "../database/database.ts"
import { fit } from "../database/ready.ts"
import { brokenInvariants } from "../database/verify.ts"

/** Prints each broken invariant and ends with 1; 0 when there is none. */
export const run = () =>
  Effect.gen(function* () {
    const url = yield* readDatabaseUrl
    const broken = yield* Effect.zipRight(fit, brokenInvariants).pipe(
      Effect.provide(
        database({
          url,
          role: "mana_service",
          maxConnections: 1,
          applicationName: "mana-credits verify",
          // Reads the whole ledger.
          statementTimeout: "1 hour",
          connectTimeout: "5 seconds"
        })
      )
    )
    for (const { invariant, userId, detail } of broken) {
      yield* Console.error(`${invariant}${userId === null ? "" : ` (user ${userId})`}: ${detail}`)
    }
    if (broken.length > 0) {
      yield* Console.error(`The books are wrong in ${broken.length} ${broken.length === 1 ? "place" : "places"}.`)
      return 1
    }
    yield* Console.log("The books are true.")
    return 0
  })
