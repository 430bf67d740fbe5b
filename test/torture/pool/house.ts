/** The pool of the service, with so few connections that the one that met an error is met again at once. */
import { Cause, type Context, Effect, Exit, Layer, Option, Predicate, Redacted, Schema, Scope } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import pg from "pg"
import { type Arguments, call, type CallOptions } from "../../../src/database/call.ts"
import * as Database from "../../../src/database/database.ts"
import type { Refused, Unavailable } from "../../../src/database/errors.ts"
import { eventually } from "../../support/wait.ts"
import type { Ground } from "../ground.ts"
import { startProxy } from "./wire.ts"

export const connections = 2
const application = "torture pool"

type Failure = Refused | Unavailable | SqlError.SqlError
export type Asking<A = unknown> = Effect.Effect<A, Failure, SqlClient.SqlClient>

const codeOf = (cause: unknown) =>
  Predicate.hasProperty(cause, "code") && typeof cause.code === "string" && cause.code.length === 5
    ? cause.code
    : "connection"

/**
 * `answered`, a refusal's SQLSTATE, or what it was and what Postgres called it: `unavailable` is 503 on the wire, `died`
 * is 500, and a plain statement, which no handler sends, has `failed`.
 */
const outcomeOf = (exit: Exit.Exit<unknown, Failure>) => {
  if (Exit.isSuccess(exit)) return "answered"
  const failure = Option.getOrUndefined(Exit.findErrorOption(exit))
  if (failure === undefined) return `died ${codeOf(Cause.squash(exit.cause))}`
  if (failure._tag === "Refused") return failure.sqlstate
  return failure._tag === "Unavailable"
    ? `unavailable ${codeOf(failure.cause)}`
    : `failed ${codeOf(failure.reason.cause)}`
}

/** What a session could carry over from one statement to the next. */
const sessionState = `
  select pg_backend_pid() as pid, pg_sleep(0.005)::text as slept, jsonb_build_object(
    'user', current_user, 'login', session_user, 'role', current_setting('role'),
    'searchPath', current_setting('search_path'), 'lockTimeout', current_setting('lock_timeout'),
    'statementTimeout', current_setting('statement_timeout'), 'isolation', current_setting('transaction_isolation'),
    'readOnly', current_setting('transaction_read_only'), 'timeZone', current_setting('TimeZone'),
    'replicationRole', current_setting('session_replication_role'),
    'synchronousCommit', current_setting('synchronous_commit'),
    'isOutsideTransaction', now() = statement_timestamp(), 'hasNoTempTables', pg_my_temp_schema() = 0,
    'cursors', (select count(*) from pg_cursors),
    'channels', (select count(*) from pg_listening_channels()),
    'advisoryLocks', (select count(*) from pg_locks where pid = pg_backend_pid() and locktype = 'advisory')
  )::text as state`

const Session = Schema.Struct({ pid: Schema.Int, state: Schema.String })
type Session = typeof Session.Type

export interface Waits {
  /** In milliseconds, as in DatabaseOptions. */
  readonly statementTimeout: number
  readonly connectTimeout: number
}

export type Person = "service" | "ops" | "owner"

const debit = { amount: 1, appId: "pool", description: "one of many" }

/** The pool and what a scenario does around it: as a superuser beside it, and on the network before it. */
export const openHouse = async (ground: Ground, waits: Waits) => {
  const scope = Effect.runSync(Scope.make())
  const admin = new pg.Pool({ connectionString: ground.url, max: 6 })
  admin.on("error", () => undefined)
  // The first to look for a deadlock is the one that gives way to it.
  const { rows: databases } = await admin.query("select current_database() as name")
  await admin.query(`alter role login_service in database ${databases[0].name} set deadlock_timeout = '600ms'`)
  const proxy = await startProxy(ground.urlAs("mana_service"))
  const close = async () => {
    await Effect.runPromise(Scope.close(scope, Exit.void))
    await proxy.close()
    await admin.end()
  }

  const poolOf = (url: string, role: Database.DatabaseOptions["role"], applicationName: string) =>
    Effect.runPromise(
      Layer.buildWithScope(
        Database.layer({ url: Redacted.make(url), role, maxConnections: connections, applicationName, ...waits }),
        scope
      )
    )
  const pools: Readonly<Record<Person, Context.Context<SqlClient.SqlClient>>> = {
    service: await poolOf(proxy.url, "mana_service", application),
    // Who else meets errors: people with functions of their own, and an owner who tries what nobody may.
    ops: await poolOf(ground.urlAs("mana_ops"), undefined, "torture ops"),
    owner: await poolOf(ground.url, undefined, "torture owner")
  }
  const exitOf = <A>(asking: Asking<A>, person: Person = "service") =>
    Effect.runPromiseExit(Effect.provide(asking, pools[person]))

  const fork = (asking: Asking) => Effect.runFork(Effect.provide(asking, pools.service))

  const rows = async (text: string, values: ReadonlyArray<unknown> = []) => (await admin.query(text, [...values])).rows
  const row = async (text: string, values: ReadonlyArray<unknown> = []) => (await rows(text, values))[0]

  /** What came of it. */
  const attempt = async (asking: Asking, person?: Person) => outcomeOf(await exitOf(asking, person))
  /** A function call as a handler makes it. */
  const ask = (name: string, args: Arguments, options?: CallOptions) => call(name, Schema.Any, args, options)
  const refused = (name: string, args: Arguments, person?: Person, options?: CallOptions) =>
    attempt(ask(name, args, options), person)
  /** Its answer; it must have one. */
  const answered = async (name: string, args: Arguments, person?: Person) => {
    const exit = await exitOf(ask(name, args), person)
    if (Exit.isSuccess(exit)) return exit.value
    throw new Error(`${name} should have answered: ${Cause.pretty(exit.cause)}`)
  }
  const statement = (text: string): Asking => Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(text))
  /** Several on one connection, rolled back when one of them fails. */
  const together = (...askings: ReadonlyArray<Asking>): Asking =>
    Effect.flatMap(SqlClient.SqlClient, (sql) => sql.withTransaction(Effect.all(askings, { discard: true })))

  let made = 0
  const userWith = async (amount: number) => {
    made += 1
    const userId = `pool-${String(made).padStart(6, "0")}-${crypto.randomUUID()}`
    if (amount > 0) await row("select credits.grant($1, $2, 'test', 'first')", [userId, amount])
    return userId
  }

  /** Sessions of the service's pool on the server. */
  const sessions = () =>
    rows("select pid, state, wait_event_type from pg_stat_activity where application_name = $1 order by pid", [
      application
    ])
  const waiting = (count: number) =>
    eventually(sessions, (all) => all.filter((each) => each.wait_event_type === "Lock").length === count)

  /** While the user's balance is locked by somebody else. */
  const whileHeld = async <A>(userId: string, work: (holder: pg.PoolClient) => Promise<A>) => {
    const holder = await admin.connect()
    try {
      await holder.query("begin")
      await holder.query("select from credits.balances where user_id = $1 for update", [userId])
      return await work(holder)
    } finally {
      await holder.query("rollback")
      holder.release()
    }
  }

  /** Every connection at once: as many as the pool may have, none of them kept by somebody who is long done. */
  const eachSession = async (): Promise<ReadonlyArray<Session>> => {
    const one = Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(sessionState)).pipe(
      Effect.flatMap((found) => Effect.orDie(Schema.decodeUnknownEffect(Schema.Tuple([Session]))(found)))
    )
    const all: Asking<ReadonlyArray<readonly [Session]>> = Effect.all(
      Array.from({ length: connections }, () => one),
      { concurrency: "unbounded" }
    )
    const exit = await exitOf(all)
    if (Exit.isFailure(exit)) throw new Error(`The pool has too few connections: ${Cause.pretty(exit.cause)}`)
    return exit.value.map(([session]) => session)
  }

  /** Debits without a key, which nothing sends again. Answers with what they came to, by their number. */
  const debits = async (userId: string, count: number, width: number) => {
    const counts: Record<string, number> = {}
    const one = Effect.map(Effect.exit(ask("credits.use", { userId, ...debit })), (exit) => {
      const outcome = outcomeOf(exit)
      counts[outcome] = (counts[outcome] ?? 0) + 1
    })
    await exitOf(
      Effect.all(
        Array.from({ length: count }, () => one),
        { concurrency: width, discard: true }
      )
    )
    return counts
  }

  // On a busy machine the first connection may take longer than connectTimeout, which is none of the kinds of error.
  for (const person of ["ops", "owner"] as const) {
    await eventually(
      () => attempt(statement("select 1"), person),
      (outcome) => outcome === "answered"
    )
  }

  return {
    ...{ admin, proxy, waits, close, rows, row, exitOf, fork, attempt, ask, refused, answered, statement, together },
    ...{ userWith, sessions, waiting, whileHeld, eachSession, debits }
  }
}

export type House = Awaited<ReturnType<typeof openHouse>>
