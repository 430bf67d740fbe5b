/** The only way from TypeScript to a SQL function: one call, one statement, one transaction. */
import { Effect, Predicate, Schema } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import { Refused, Unavailable } from "./errors.ts"

/** Named arguments in camelCase; what is undefined is left out, so that the function's default holds. */
export type Arguments = Readonly<Record<string, string | number | boolean | Date | object | null | undefined>>

export interface CallOptions {
  /** The function decides by an idempotency key: sending it again after a lost connection can't do it twice. */
  readonly keyed?: boolean
}

const parameter = (name: string) => `p_${name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`

/**
 * Every argument goes as text, so that PostgreSQL reads it as the type that the function declares. The library would
 * send a number as int4 or float8, for which there is no function that takes a smallint or a numeric, and an array as
 * one of PostgreSQL's in place of a jsonb document.
 */
const encoded = (value: Arguments[string]) => {
  if (value === null) return null
  if (typeof value !== "object") return String(value)
  return value instanceof Date ? value.toISOString() : JSON.stringify(value)
}

const invocation = (name: string, args: Arguments) => {
  const given = Object.entries(args).filter(([, value]) => value !== undefined)
  const list = given.map(([key], index) => `${parameter(key)} => $${index + 1}`).join(", ")
  return { text: `${name}(${list})`, values: given.map(([, value]) => encoded(value)) }
}

const field = (value: unknown, key: string) =>
  Predicate.hasProperty(value, key) && typeof value[key] === "string" ? value[key] : ""

const decodeDetail = Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.Record(Schema.String, Schema.Unknown)))

/** Nothing happened: PostgreSQL rolled the transaction back and asks to try again. */
const isConflict = (sqlstate: string) => sqlstate === "40001" || sqlstate === "40P01"

/**
 * Connection failures (class 08), shutdown and start (57P0x), no resources (53), a statement cut off by its time-out or
 * by that of a lock, and a server that may only be read: a standby, until its turn comes.
 */
const isAway = (sqlstate: string) => /^(08...|57P0[1-5]|53[0-9]..|57014|55P03|25006)$/.test(sqlstate)

class Conflict {
  readonly _tag = "Conflict"
  readonly cause: unknown
  constructor(cause: unknown) {
    this.cause = cause
  }
}

/** By the SQLSTATE, where the server gave one; a socket or a time-out that ended the connection is a ConnectionError. */
const sorted = ({ reason }: SqlError.SqlError): Effect.Effect<never, Refused | Unavailable | Conflict> => {
  const { cause } = reason
  const sqlstate = field(cause, "code")
  if (sqlstate.startsWith("CR") && sqlstate.length === 5) {
    return decodeDetail(field(cause, "detail") || "{}").pipe(
      Effect.orDie,
      Effect.flatMap((detail) => new Refused({ sqlstate, message: field(cause, "message"), detail }))
    )
  }
  if (isConflict(sqlstate)) return Effect.fail(new Conflict(cause))
  if (reason._tag === "ConnectionError" || isAway(sqlstate)) return new Unavailable({ cause })
  return Effect.die(cause)
}

/** Runs a statement once. */
const run = <Row extends object>(text: string, values: ReadonlyArray<string | null>) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe<Row>(text, values).pipe(Effect.catch(sorted)))

const toUnavailable = ({ cause }: Conflict) => new Unavailable({ cause })

/** Milliseconds. A keyed call that failed later than this isn't sent again: its caller has waited enough. */
export const keyedRetryWindowMs = 1000

const maxTries = 5
/** Wait before the second try; it doubles with each further one. */
const firstDelayMs = 20

/** 0.8 to 1.2 times the wait: calls that met in a conflict don't meet again. */
const delayMs = (tries: number) => firstDelayMs * 2 ** (tries - 1) * (0.8 + 0.4 * Math.random())

/**
 * Calls a SQL function that answers with one JSON document. Fails with what its caller can act on; any other error of
 * the database is a bug and dies. The answer is taken to be an `A`: for callers whose own answer is checked.
 *
 * A conflict was rolled back, so it is tried again however long it took: PostgreSQL finds a deadlock only after its
 * deadlock_timeout of a second. An unavailable database is asked again for a keyed call, within the retry window.
 */
export const callUndecoded = <A = unknown>(
  name: string,
  args: Arguments,
  options?: CallOptions
): Effect.Effect<A, Refused | Unavailable, SqlClient.SqlClient> =>
  Effect.suspend(() => {
    const { text, values } = invocation(name, args)
    const statement = run<{ readonly answer: A }>(`select ${text} as answer`, values)
    const since = performance.now()
    const mayRetry = (error: Refused | Unavailable | Conflict) =>
      error._tag === "Conflict" ||
      (error._tag === "Unavailable" && options?.keyed === true && performance.now() - since < keyedRetryWindowMs)
    const tried = (tries: number): typeof statement =>
      statement.pipe(
        Effect.catch((error) =>
          tries < maxTries && mayRetry(error) ? Effect.delay(tried(tries + 1), delayMs(tries)) : Effect.fail(error)
        )
      )
    return Effect.catchTag(tried(1), "Conflict", toUnavailable)
  }).pipe(
    Effect.flatMap(([row]) =>
      row === undefined ? Effect.die(new Error(`${name} answered no row`)) : Effect.succeed(row.answer)
    )
  )

/** As `callUndecoded`, with the answer decoded; one that isn't what we expect is a bug and dies. */
export const call = <A, I>(
  name: string,
  answer: Schema.Codec<A, I>,
  args: Arguments,
  options?: CallOptions
): Effect.Effect<A, Refused | Unavailable, SqlClient.SqlClient> =>
  Effect.flatMap(callUndecoded(name, args, options), (document) =>
    Schema.decodeUnknownEffect(answer)(document).pipe(
      Effect.catch(({ message }) => Effect.die(new Error(`${name} answered what we don't expect: ${message}`)))
    )
  )

/** Calls a SQL function that answers with rows, as those of ops do: once, for a person who sees what came of it. */
export const callRows = <A, I>(
  name: string,
  row: Schema.Codec<A, I>,
  args: Arguments
): Effect.Effect<ReadonlyArray<A>, Refused | Unavailable, SqlClient.SqlClient> => {
  const { text, values } = invocation(name, args)
  return run(`select * from ${text}`, values).pipe(
    Effect.catchTag("Conflict", toUnavailable),
    Effect.flatMap((rows) => Effect.orDie(Schema.decodeUnknownEffect(Schema.Array(row))(rows)))
  )
}
