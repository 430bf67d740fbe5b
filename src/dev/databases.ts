/** The databases that development works with: the embedded server's, or those beside an address of yours. */
import { Data, Effect, Option, Redacted, type Scope } from "effect"
import pg from "pg"
import type { DevSettings } from "../config.ts"
import type { EmbeddedPostgres } from "../database/embedded.ts"

export class DatabaseAway extends Data.TaggedError("DatabaseAway")<{ readonly message: string }> {}

export interface DevDatabases {
  /** As whom migrations run. */
  readonly url: string
  /** Emptied and rebuilt whenever a migration is committed. */
  readonly shadowUrl: string
  /** Neither of the two: connects while they are made or dropped. */
  readonly rootUrl: string
}

const withDatabase = (url: string, database: string) => {
  const changed = new URL(url)
  changed.pathname = `/${database}`
  return changed.href
}

const createMissing = (rootUrl: string, databases: ReadonlyArray<string>) =>
  Effect.tryPromise({
    try: async () => {
      const client = new pg.Client({ connectionString: rootUrl, connectionTimeoutMillis: 5000 })
      client.on("error", () => undefined)
      await client.connect()
      try {
        for (const database of databases) {
          const { rowCount } = await client.query("select from pg_database where datname = $1", [database])
          if (rowCount === 0) await client.query(`create database ${client.escapeIdentifier(database)}`)
        }
      } finally {
        await client.end()
      }
    },
    catch: (cause) =>
      new DatabaseAway({
        message: `The database can't be used: ${cause instanceof Error ? cause.message : String(cause)}`
      })
  })

/** Makes the databases where they are missing. `server` is asked only where no address of yours is set. */
export const devDatabases = <E>(
  settings: DevSettings,
  server: Effect.Effect<EmbeddedPostgres, E, Scope.Scope>
): Effect.Effect<DevDatabases, E | DatabaseAway, Scope.Scope> =>
  Effect.gen(function* () {
    const url = Option.isSome(settings.databaseUrl)
      ? Redacted.value(settings.databaseUrl.value)
      : (yield* server).url("mana_credits")
    const name = decodeURIComponent(new URL(url).pathname.slice(1))
    const shadow = `${name}_shadow`
    const rootUrl = withDatabase(url, "postgres")
    yield* createMissing(rootUrl, [name, shadow])
    return { url, shadowUrl: withDatabase(url, shadow), rootUrl }
  })
