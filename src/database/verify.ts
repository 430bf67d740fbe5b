/** Whether the books are true. */
import { SqlClient } from "@effect/sql"
import { Effect, Schema } from "effect"
import { Unavailable } from "./errors.ts"

const Broken = Schema.Struct({
  invariant: Schema.String,
  /** Null where it isn't one user's. */
  userId: Schema.NullOr(Schema.String),
  detail: Schema.String
})

/** Everything that ops.verify() found: empty when the books are true. */
export const brokenInvariants = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql`select invariant, user_id as "userId", detail from ops.verify()`.pipe(
    // As in call.ts.
    Effect.uninterruptible,
    Effect.mapError((error) => new Unavailable({ cause: error.cause }))
  )
  return yield* Effect.orDie(Schema.decodeUnknown(Schema.Array(Broken))(rows))
})
