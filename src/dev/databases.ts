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

const asRoot = (rootUrl: string, work: (client: pg.Client) => Promise<void>) =>
  Effect.tryPromise({
    try: async () => {
      const client = new pg.Client({ connectionString: rootUrl, connectionTimeoutMillis: 5000 })
      client.on("error", () => undefined)
      await client.connect()
      try {
        await work(client)
      } finally {
        await client.end()
      }
    },
    catch: (cause) =>
      new DatabaseAway({
        message: `The database can't be used: ${cause instanceof Error ? cause.message : String(cause)}`
      })
  })

const nameOf = (url: string) => decodeURIComponent(new URL(url).pathname.slice(1))

/** Ends what is connected, so that the database can be dropped; a running `npm run dev` comes back by itself. */
export const disconnectAll = ({ url, rootUrl }: DevDatabases) =>
  asRoot(rootUrl, async (client) => {
    await client.query(`alter database ${client.escapeIdentifier(nameOf(url))} with allow_connections false`)
    await client.query("select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1", [nameOf(url)])
  })

const createMissing = (rootUrl: string, databases: ReadonlyArray<string>) =>
  asRoot(rootUrl, async (client) => {
    for (const database of databases) {
      const name = client.escapeIdentifier(database)
      const { rowCount } = await client.query("select from pg_database where datname = $1", [database])
      if (rowCount === 0) await client.query(`create database ${name}`)
      // A reset that didn't come to its end.
      else await client.query(`alter database ${name} with allow_connections true`)
    }
  })

/** Makes the databases where they are missing. `server` is asked only where no address of yours is set. */
export const devDatabases = Effect.fnUntraced(function* <E>(
  settings: DevSettings,
  server: Effect.Effect<EmbeddedPostgres, E, Scope.Scope>
): Effect.fn.Return<DevDatabases, E | DatabaseAway, Scope.Scope> {
  const url = Option.isSome(settings.databaseUrl)
    ? Redacted.value(settings.databaseUrl.value)
    : (yield* server).url("mana_credits")
  const name = nameOf(url)
  const shadow = `${name}_shadow`
  const rootUrl = withDatabase(url, "postgres")
  yield* createMissing(rootUrl, [name, shadow])
  return { url, shadowUrl: withDatabase(url, shadow), rootUrl }
})
