/** Whether the books are true, and whether history is still what it was. */
import * as SqlClient from "@effect/sql/SqlClient"
import { Effect, Schema } from "effect"
import { Unavailable } from "./errors.ts"

const Broken = Schema.Struct({
  invariant: Schema.String,
  /** Null where it isn't one user's. */
  userId: Schema.NullOr(Schema.String),
  detail: Schema.String
})

const rowsOf = <A, I>(schema: Schema.Schema<A, I>, text: string, values: ReadonlyArray<unknown> = []) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql.unsafe(text, [...values]).pipe(
      // As in call.ts.
      Effect.uninterruptible,
      Effect.mapError((error) => new Unavailable({ cause: error.cause }))
    )
    return yield* Effect.orDie(Schema.decodeUnknown(Schema.Array(schema))(rows))
  })

/** Everything that ops.verify() found: empty when the books are true. */
export const brokenInvariants = rowsOf(Broken, `select invariant, user_id as "userId", detail from ops.verify()`)

/** What a seal looks like: the sha256 that ops.seal() answered, as 64 hexadecimal digits. */
export const Digest = Schema.String.pipe(Schema.pattern(/^[0-9a-f]{64}$/i))

/** Everything that ops.verify_seal() found: empty when history up to that seal is as it was. */
export const changedSinceSeal = (digest: typeof Digest.Type) =>
  rowsOf(Broken, `select invariant, user_id as "userId", detail from ops.verify_seal($1)`, [digest])

const Seal = Schema.Struct({
  digest: Digest,
  seal: Schema.NumberFromString,
  sealedAt: Schema.DateFromSelf,
  users: Schema.NumberFromString,
  ledgerRows: Schema.NumberFromString
})

/** Seals history as it stands: ops.seal(). */
export const seal = Effect.gen(function* () {
  const text = 'select digest, seal, sealed_at as "sealedAt", users, ledger_rows as "ledgerRows" from ops.seal()'
  const [sealed] = yield* rowsOf(Seal, text)
  if (sealed === undefined) return yield* Effect.dieMessage("ops.seal() answered no row")
  return sealed
})
