/** The pool: every connection acts as one role, which may call functions and touch nothing else. */
import * as PgClient from "@effect/sql-pg/PgClient"
import { SqlError } from "@effect/sql/SqlError"
import { Duration, Effect, Predicate, Redacted } from "effect"
import pg from "pg"
import { atMost } from "../at_most.ts"

export interface DatabaseOptions {
  readonly url: Redacted.Redacted
  /** The role the connections take on; the login role must be a member of it. Undefined: none but the login role. */
  readonly role: "mana_service" | "mana_worker" | "mana_ops" | undefined
  readonly maxConnections: number
  /**
   * Its statements look rows up by their keys. A session's plan from when the tables were small would read them whole,
   * and each debit so for the minute until somebody analyses them: PostgreSQL is told not to.
   */
  readonly looksUp?: boolean
  /** Shown in pg_stat_activity. */
  readonly applicationName: string
  /** No statement of ours runs longer: a stuck one is ended and its caller told to try again. */
  readonly statementTimeout: Duration.DurationInput
  /** What the network may add to that before the server counts as silent. 2 seconds unless said otherwise. */
  readonly networkTime?: Duration.DurationInput
  /** How long a request waits for a free or new connection before it is told to try again. */
  readonly connectTimeout: Duration.DurationInput
}

/** How the HTTP service is connected; whoever serves it in a test is, too. */
export const serving = { role: "mana_service", looksUp: true } as const

const sessionOptions = ({ role, looksUp = false }: DatabaseOptions) => {
  const set = [...(role === undefined ? [] : [`role=${role}`]), ...(looksUp ? ["enable_seqscan=off"] : [])]
  return set.length === 0 ? undefined : set.map((each) => `-c ${each}`).join(" ")
}

/** Whether an error of the server is the last thing it says on a connection: its severity, or (translated) its code. */
const isLast = (error: unknown) =>
  (Predicate.hasProperty(error, "severity") && (error.severity === "FATAL" || error.severity === "PANIC")) ||
  (Predicate.hasProperty(error, "code") && /^(08...|25P0[34]|57P0[1-5])$/.test(String(error.code)))

/** A pool whose end is the scope's end; connections in use may finish first. */
export const makePool = (options: DatabaseOptions) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const pool = new pg.Pool({
        connectionString: Redacted.value(options.url),
        options: sessionOptions(options),
        application_name: options.applicationName,
        max: options.maxConnections,
        connectionTimeoutMillis: Duration.toMillis(options.connectTimeout),
        statement_timeout: Duration.toMillis(options.statementTimeout),
        keepAlive: true,
        // A machine that is gone says nothing; by the system's own rules nobody would ask it for two hours.
        keepAliveInitialDelayMillis: 30_000
      })
      // A connection that the server ended: idle, the pool replaces it at the next call; in use, its query fails.
      pool.on("error", () => undefined)
      pool.on("connect", (client) => {
        client.on("error", () => undefined)
        // The server hangs up after such an error. The library reports it to the query and gives the connection to the
        // next caller, who would fail for it: ended before that, it is thrown away.
        client.connection.prependListener("errorMessage", (error: unknown) => {
          if (isLast(error)) void client.end()
        })
      })
      return pool
    }),
    // A statement that outlasts this was cut off by its caller's end, or is the database's trouble, not ours.
    (pool) => Effect.promise(() => atMost(1000, pool.end()))
  )

/**
 * Gives up a connection that somebody has had for longer than any statement may run: the server ends its statements in
 * time while it can, so one that didn't has fallen silent. Whoever waits is told, and nobody gets that connection again.
 */
const endSilent = (pool: pg.Pool, { statementTimeout, networkTime = "2 seconds" }: DatabaseOptions) => {
  const patience = Duration.toMillis(statementTimeout) + Duration.toMillis(networkTime)
  const timers = new WeakMap<pg.PoolClient, NodeJS.Timeout>()
  pool.on("acquire", (client) => {
    const giveUp = () => client.emit("error", new Error(`The server has been silent for ${patience} ms`))
    timers.set(client, setTimeout(giveUp, patience))
  })
  pool.on("release", (_, client) => clearTimeout(timers.get(client)))
}

/** Connections for one statement at a time: each is back in the pool when its statement has ended. */
export const layer = (options: DatabaseOptions) =>
  PgClient.layerFromPool({
    acquire: makePool(options).pipe(
      Effect.tap((pool) => Effect.sync(() => endSilent(pool, options))),
      Effect.mapError((cause: never) => new SqlError({ cause }))
    ),
    applicationName: options.applicationName
  })
