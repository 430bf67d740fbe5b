/** The only way from TypeScript to a SQL function: one call, one statement, one transaction. */
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import { Effect, ParseResult, Predicate, Schedule, Schema } from "effect"
import { Refused, Unavailable } from "./errors.ts"

/** Named arguments in camelCase; what is undefined is left out, so that the function's default holds. */
export type Arguments = Readonly<Record<string, string | number | boolean | Date | object | null | undefined>>

export interface CallOptions {
  /** The function decides by an idempotency key: sending it again after a lost connection can't do it twice. */
  readonly keyed?: boolean
}

const parameter = (name: string) => `p_${name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`

// jsonb takes text: pg itself would turn an array into a Postgres array.
const encoded = (value: Arguments[string]) =>
  typeof value === "object" && value !== null && !(value instanceof Date) ? JSON.stringify(value) : value

const invocation = (name: string, args: Arguments) => {
  const given = Object.entries(args).filter(([, value]) => value !== undefined)
  const list = given.map(([key], index) => `${parameter(key)} => $${index + 1}`).join(", ")
  return { text: `${name}(${list})`, values: given.map(([, value]) => encoded(value)) }
}

const field = (value: unknown, key: string) =>
  Predicate.hasProperty(value, key) && typeof value[key] === "string" ? value[key] : ""

const Detail = Schema.parseJson(Schema.Record({ key: Schema.String, value: Schema.Unknown }))

/** Nothing happened: Postgres rolled the transaction back and asks to try again. */
const isConflict = (sqlstate: string) => sqlstate === "40001" || sqlstate === "40P01"

/**
 * Connection failures (class 08), shutdown and start (57P0x), no resources (53), a statement cut off by its time-out or
 * by that of a lock, and a server that may only be read: a standby, until its turn comes.
 */
const isAway = (sqlstate: string, cause: unknown) =>
  /^(08...|57P0[1-5]|53[0-9]..|57014|55P03|25006)$/.test(sqlstate) ||
  // Not an answer of Postgres: the socket, the pool's time-out, a connection that ended.
  (!Predicate.hasProperty(cause, "severity") && cause instanceof Error)

class Conflict {
  readonly _tag = "Conflict"
  readonly cause: unknown
  constructor(cause: unknown) {
    this.cause = cause
  }
}

const sorted = (error: SqlError): Effect.Effect<never, Refused | Unavailable | Conflict> => {
  const cause = error.cause
  const sqlstate = field(cause, "code")
  if (sqlstate.startsWith("CR") && sqlstate.length === 5) {
    return Schema.decodeUnknown(Detail)(field(cause, "detail") || "{}").pipe(
      Effect.orDie,
      Effect.flatMap((detail) => new Refused({ sqlstate, message: field(cause, "message"), detail }))
    )
  }
  if (isConflict(sqlstate)) return Effect.fail(new Conflict(cause))
  if (isAway(sqlstate, cause)) return new Unavailable({ cause })
  return Effect.die(cause)
}

/** A call that took longer than this, in milliseconds, isn't sent again: its caller has waited enough. */
export const tryAgainWithin = 1000

/**
 * Calls a SQL function that answers with one JSON document. Fails with what its caller can act on; an answer that
 * isn't what we expect, or any other error of the database, is a bug and dies.
 */
export const call = <A, I>(
  name: string,
  answer: Schema.Schema<A, I>,
  args: Arguments,
  options?: CallOptions
): Effect.Effect<A, Refused | Unavailable, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { text, values } = invocation(name, args)
    const since = performance.now()
    const rows = yield* sql.unsafe<{ readonly answer: unknown }>(`select ${text} as answer`, values).pipe(
      // Interrupted, the client gives a connection that still works on its statement back to the pool, and the next
      // caller waits behind it: acting as another role than we logged in as, we may not cancel our own statement.
      Effect.uninterruptible,
      Effect.catchAll(sorted),
      // Up to 5 tries within about half a second.
      Effect.retry({
        schedule: Schedule.jittered(Schedule.exponential("20 millis")).pipe(Schedule.intersect(Schedule.recurs(4))),
        while: (error) =>
          (error._tag === "Conflict" || (options?.keyed === true && error._tag === "Unavailable")) &&
          performance.now() - since < tryAgainWithin
      }),
      Effect.catchTag("Conflict", ({ cause }) => new Unavailable({ cause }))
    )
    return yield* Schema.decodeUnknown(answer)(rows[0]?.answer).pipe(
      Effect.catchAll((error) =>
        Effect.die(
          new Error(`${name} answered what we don't expect: ${ParseResult.TreeFormatter.formatErrorSync(error)}`)
        )
      )
    )
  })

/** Calls a SQL function that answers with rows, as those of ops do: once, for a person who sees what came of it. */
export const callRows = <A, I>(
  name: string,
  row: Schema.Schema<A, I>,
  args: Arguments
): Effect.Effect<ReadonlyArray<A>, Refused | Unavailable, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { text, values } = invocation(name, args)
    const rows = yield* sql.unsafe(`select * from ${text}`, values).pipe(
      Effect.uninterruptible,
      Effect.catchAll(sorted),
      Effect.catchTag("Conflict", ({ cause }) => new Unavailable({ cause }))
    )
    return yield* Effect.orDie(Schema.decodeUnknown(Schema.Array(row))(rows))
  })
