/** Personal credits: for the person whom the token names. */
import { HttpApiBuilder } from "@effect/platform"
import { Effect, Schema } from "effect"
import { Api } from "../contract/api.ts"
import { CurrentUser } from "../contract/auth.ts"
import { IdempotencyKeyReused, InsufficientCredits } from "../contract/errors.ts"
import { Balance, debited } from "../contract/ledger.ts"
import { ask, replayed, withoutMark } from "./ask.ts"
import { keyOf } from "./idempotency.ts"

const UseAnswer = Schema.Struct({ ...debited, ...replayed })

export const credits = HttpApiBuilder.group(Api, "credits", (handlers) =>
  handlers
    .handle("balance", () => Effect.flatMap(CurrentUser, ({ userId }) => ask("credits.balance", Balance, { userId })))
    .handle(
      "use",
      ({ payload, headers }) =>
        Effect.gen(function* () {
          const { userId } = yield* CurrentUser
          const idempotencyKey = yield* keyOf(payload, headers)
          const answer = yield* ask(
            "credits.use",
            UseAnswer,
            // The function has no default for the amount, which an operation stands in for.
            { ...payload, amount: payload.amount ?? null, userId, idempotencyKey, caller: "user" },
            { refusals: [InsufficientCredits, IdempotencyKeyReused], keyed: idempotencyKey !== undefined }
          )
          return { success: true as const, ...(yield* withoutMark(answer)) }
        }),
      { uninterruptible: true }
    )
)
