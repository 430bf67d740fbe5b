/** The pool: every connection acts as one role, which may call functions and touch nothing else. */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as PgTypes from "@effect/sql-pg/PgTypes"
import { Duration, Effect, Exit, Layer, Redacted, Result, Scope } from "effect"
import * as Reactivity from "effect/reactivity/Reactivity"
import { SqlClient, type SqlConnection, SqlError } from "effect/sql"
import pg from "pg"
import { withinTime } from "../lib/within-time.ts"

export interface DatabaseOptions {
  readonly url: Redacted.Redacted
  /** The role the connections take on; the login role must be a member of it. Undefined: none but the login role. */
  readonly role: "mana_service" | "mana_worker" | "mana_ops" | undefined
  readonly maxConnections: number
  /**
   * Its statements look rows up by their keys: PostgreSQL is told not to read whole tables (enable_seqscan off). A
   * session's plan from when the tables were small would do that, for the minute until they are analysed.
   */
  readonly looksUp?: boolean
  /** Shown in pg_stat_activity. */
  readonly applicationName: string
  /** No statement of ours runs longer: a stuck one is ended and its caller told to try again. */
  readonly statementTimeout: Duration.Input
  /** What the network may add to that before the server counts as silent. 2 seconds unless said otherwise. */
  readonly networkTime?: Duration.Input
  /** How long a request waits for a free or new connection before it is told to try again. */
  readonly connectTimeout: Duration.Input
}

/** How the HTTP service is connected, in tests too. */
export const serving = { role: "mana_service", looksUp: true } as const

const millis = (duration: Duration.Input) => Duration.toMillis(Duration.fromInputUnsafe(duration))

/** Idle time before the system asks whether the server's machine is still there; by its own default two hours. */
const keepAliveMs = 30_000

/** A pool that is closed waits for statements in flight this long; a later one is the database's trouble, not ours. */
const closeTimeoutMs = 1000

const startupOptions = ({ role, looksUp = false }: DatabaseOptions) => {
  const set = [...(role === undefined ? [] : [`role=${role}`]), ...(looksUp ? ["enable_seqscan=off"] : [])]
  return set.length === 0 ? undefined : set.map((each) => `-c ${each}`).join(" ")
}

/** A pool on `pg`, for graphile-worker, which takes no other. Its end is the scope's end. */
export const makePool = (options: DatabaseOptions) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const pool = new pg.Pool({
        connectionString: Redacted.value(options.url),
        options: startupOptions(options),
        application_name: options.applicationName,
        max: options.maxConnections,
        connectionTimeoutMillis: millis(options.connectTimeout),
        statement_timeout: millis(options.statementTimeout),
        keepAlive: true,
        keepAliveInitialDelayMillis: keepAliveMs
      })
      // The server ended a connection: an idle one is replaced at the next call, one in use fails its query.
      pool.on("error", () => undefined)
      pool.on("connect", (client) => client.on("error", () => undefined))
      return pool
    }),
    (pool) => Effect.promise(() => withinTime(closeTimeoutMs, pool.end()))
  )

/** bigint columns are text, as numbers of JavaScript end at 2^53: @effect/sql-pg makes a BigInt of them. */
const types = PgTypes.makeRegistry()
types.register<string>(PgTypes.OID.int8, {
  encode: (value) => PgTypes.encode(BigInt(value), PgTypes.OID.int8),
  decode: (bytes) => Result.map(PgTypes.decode(bytes, PgTypes.OID.int8, 1), String)
})

const unreachable = (message: string) =>
  new SqlError.SqlError({
    reason: new SqlError.ConnectionError({ cause: new Error(message), message, operation: "connect" })
  })

/**
 * Lends a connection for one statement, with what @effect/sql-pg doesn't do itself:
 * - Waiting for a free connection is bounded by `connectTimeout`; the library's own bounds connecting alone.
 * - A statement that has no answer by the time the server should have ended it has a silent server: a machine or a
 *   network that is gone, a process that stands still. Its caller is told, and the connection is destroyed: releasing
 *   one with a statement in flight does that. Interrupting the statement would wait another 5 seconds for the server.
 * - A statement isn't interrupted. The library would cancel it over a second connection, so a client that hangs up makes
 *   work for the server, and whether its debit happens depends on the moment. `statementTimeout` ends it anyway.
 */
const lend = (
  client: SqlClient.SqlClient,
  { connectTimeout, statementTimeout, networkTime = "2 seconds" }: DatabaseOptions
): SqlConnection.Borrower => {
  const connectMs = millis(connectTimeout)
  const silenceMs = millis(statementTimeout) + millis(networkTime)
  const reserve = Effect.timeoutOrElse(client.reserve, {
    duration: connectMs,
    orElse: () => Effect.fail(unreachable(`No connection to the database within ${connectMs} ms`))
  })
  return (use) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.suspend(() => {
        const lease = Scope.makeUnsafe()
        let isSilent = false
        const giveUp = () => {
          isSilent = true
          Effect.runFork(Scope.close(lease, Exit.void))
        }
        let timer: NodeJS.Timeout | undefined
        return restore(Scope.provide(reserve, lease)).pipe(
          Effect.flatMap((connection) => {
            timer = setTimeout(giveUp, silenceMs)
            return use(connection)
          }),
          Effect.onExit((exit) => {
            clearTimeout(timer)
            return Scope.close(lease, exit)
          }),
          Effect.mapError((error) =>
            isSilent ? unreachable(`The database has been silent for ${silenceMs} ms`) : error
          )
        )
      })
    )
}

/** A SQL client whose statements each have a connection of the pool for as long as they run, and no longer. */
export const layer = (options: DatabaseOptions) =>
  Layer.effect(
    SqlClient.SqlClient,
    Effect.gen(function* () {
      const scope = yield* Effect.acquireRelease(Scope.make(), (made, exit) =>
        Effect.promise(() => withinTime(closeTimeoutMs, Effect.runPromise(Scope.close(made, exit))))
      )
      const client = yield* Scope.provide(
        PgClient.make({
          url: options.url,
          applicationName: options.applicationName,
          startupOptions: startupOptions(options),
          startupParameters: { statement_timeout: String(millis(options.statementTimeout)) },
          maxConnections: options.maxConnections,
          connectTimeout: options.connectTimeout,
          keepAlive: keepAliveMs,
          types
        }),
        scope
      )
      return yield* SqlClient.make({
        acquirer: client.reserve,
        borrower: lend(client, options),
        compiler: PgClient.makeCompiler(),
        driver: "pg",
        spanAttributes: []
      })
    })
  ).pipe(Layer.provide(Reactivity.layer))
