/** Whether the books are true, and whether history is still what it was. */
import { Effect, Schema } from "effect"
import { type Arguments, callRows } from "./call.ts"

const Broken = Schema.Struct({
  invariant: Schema.String,
  /** Null where it isn't one user's. */
  userId: Schema.NullOr(Schema.String),
  detail: Schema.String
}).pipe(Schema.encodeKeys({ userId: "user_id" }))

/** What is asked here has nothing to refuse. */
const rowsOf = <A, I>(name: string, row: Schema.Codec<A, I>, args: Arguments = {}) =>
  callRows(name, row, args).pipe(Effect.catchTag("Refused", (refused) => Effect.die(refused)))

/** Everything that ops.verify() found: empty when the books are true. */
export const brokenInvariants = rowsOf("ops.verify", Broken)

/** What a seal looks like: the sha256 that ops.seal() answered, as 64 hexadecimal digits. */
export const Digest = Schema.String.check(Schema.isPattern(/^[0-9a-f]{64}$/i))

/** Everything that ops.verify_seal() found: empty when history up to that seal is as it was. */
export const changedSinceSeal = (digest: typeof Digest.Type) => rowsOf("ops.verify_seal", Broken, { digest })

const Seal = Schema.Struct({
  digest: Digest,
  seal: Schema.NumberFromString,
  sealedAt: Schema.Date,
  users: Schema.NumberFromString,
  ledgerRows: Schema.NumberFromString
}).pipe(Schema.encodeKeys({ sealedAt: "sealed_at", ledgerRows: "ledger_rows" }))

/** Seals history as it stands: ops.seal(). */
export const seal = Effect.gen(function* () {
  const [sealed] = yield* rowsOf("ops.seal", Seal)
  if (sealed === undefined) return yield* Effect.die(new Error("ops.seal() answered no row"))
  return sealed
})
