/** Whether a database is one that this service can work on. */
import * as fs from "node:fs/promises"
import { Data, Effect, Predicate, Schema } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import { errorMessage } from "../lib/error-message.ts"
import { readFunctions } from "./functions.ts"

/** What is wrong with the database, and what to do about it. */
export class DatabaseUnfit extends Data.TaggedError("DatabaseUnfit")<{ readonly message: string }> {}

const unfit = (message: string) => Effect.fail(new DatabaseUnfit({ message }))

const notMigrated = (missing: string) =>
  `The database isn't migrated (${missing}): run \`node src/main.ts migrate\`, as a role that may.`

// A role, a schema or a function that isn't there: nobody has migrated.
const missingThings = new Set(["22023", "3F000", "42883", "42P01"])

const explained = ({ reason }: SqlError.SqlError) => {
  const code = Predicate.hasProperty(reason.cause, "code") ? String(reason.cause.code) : ""
  const cause = errorMessage(reason.cause)
  if (missingThings.has(code)) return unfit(notMigrated(cause))
  if (code === "42501") {
    const needed = cause.includes("mana_ops") ? "mana_ops" : "mana_service and mana_worker"
    return unfit(`The login role may not act as this command must (${cause}): grant it ${needed}.`)
  }
  return unfit(`The database can't be reached: ${cause}`)
}

const rowsOf = Effect.fnUntraced(function* <A, I>(schema: Schema.Codec<A, I>, text: string) {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql.unsafe(text).pipe(Effect.catch(explained))
  return yield* Effect.orDie(Schema.decodeUnknownEffect(Schema.Array(schema))(rows))
})

/** A migration goes by its number; what stands behind it in the file's name is for people. */
const numberOf = (name: string) => Number.parseInt(name, 10)

const committed = Effect.promise(() => fs.readdir(new URL("../../migrations/committed/", import.meta.url))).pipe(
  Effect.map((names) => names.filter((name) => name.endsWith(".sql")).toSorted())
)

/** Read once: the files are those that this process was started with. */
let checksum: Promise<string> | undefined
const ownChecksum = Effect.promise(() => (checksum ??= readFunctions().then((functions) => functions.checksum)))

/** Succeeds when the database has every migration that we were built with. It may have later ones. */
const tables = Effect.gen(function* () {
  const rows = yield* rowsOf(Schema.Struct({ name: Schema.String }), "select name from ops.migrations()")
  const applied = new Set(rows.map(({ name }) => numberOf(name)))
  const missing = (yield* committed).filter((name) => !applied.has(numberOf(name)))
  if (missing.length > 0) return yield* unfit(notMigrated(`${missing.join(", ")} missing`))
})

/**
 * Succeeds when our functions were applied once. Those of another version may have been applied since. A later version
 * keeps what we call; an earlier one, after a rollback, may lack it, and such calls answer 500 until we are replaced.
 */
const functions = Effect.gen(function* () {
  const rows = yield* rowsOf(Schema.Struct({ checksum: Schema.String }), "select checksum from ops.functions_applied()")
  const own = yield* ownChecksum
  if (!rows.some((row) => row.checksum === own)) return yield* unfit(notMigrated("this version's functions missing"))
  if (rows.at(-1)?.checksum !== own) yield* Effect.logDebug("The database has functions of another version.")
})

/** Succeeds when the database has our tables and functions, or later ones. */
export const migrated = Effect.andThen(tables, functions)

/** Succeeds when the server takes writes: a standby doesn't, nor one that somebody has made read-only. */
export const writable = Effect.gen(function* () {
  const [session] = yield* rowsOf(
    Schema.Struct({ isReadOnly: Schema.Boolean }),
    `select pg_catalog.current_setting('transaction_read_only')::boolean as "isReadOnly"`
  )
  if (session?.isReadOnly === true) return yield* unfit("The database is read-only: a standby, or made so by somebody.")
})

const oldest = 18

/** Succeeds when the server is new enough: for uuidv7(), and for checksums of the data by default. */
export const recent = Effect.gen(function* () {
  const Version = Schema.Struct({ major: Schema.Int })
  const [server] = yield* rowsOf(Version, "select current_setting('server_version_num')::integer / 10000 as major")
  if (server !== undefined && server.major < oldest) {
    return yield* unfit(`PostgreSQL ${oldest} or newer is needed; this one is ${server.major}.`)
  }
})

/** Succeeds when the server doesn't lose what it said it had kept. */
export const durable = Effect.gen(function* () {
  const off = yield* rowsOf(
    Schema.Struct({ name: Schema.String }),
    `select name from pg_catalog.pg_settings
     where name in ('fsync', 'full_page_writes', 'synchronous_commit') and setting = 'off' order by name`
  )
  if (off.length > 0) {
    return yield* unfit(
      `This server can lose what it has confirmed: turn on ${off.map(({ name }) => name).join(", ")}.`
    )
  }
})

/** Everything that must be so before we work on a database. */
export const fit = Effect.all([migrated, recent, durable], { discard: true })
