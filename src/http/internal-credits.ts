/** Internal credits: for any user, asked by a service. */
import { HttpApiBuilder } from "@effect/platform"
import { Effect, Schema } from "effect"
import { Api } from "../contract/api.ts"
import { IdempotencyKeyReused, InsufficientCredits } from "../contract/errors.ts"
import { debited } from "../contract/ledger.ts"
import { ask, replayed, withoutMark } from "./ask.ts"
import { keyOf } from "./idempotency.ts"

const UseAnswer = Schema.Struct({ ...debited, ...replayed })

/** Who asks, as the ledger names it; keys are remembered per caller. */
const callerOf = (headers: { readonly "x-app-id"?: string | undefined }) =>
  headers["x-app-id"] === undefined ? "service" : `service:${headers["x-app-id"]}`

export const internalCredits = HttpApiBuilder.group(Api, "internalCredits", (handlers) =>
  handlers.handle(
    "use",
    ({ payload, headers }) =>
      Effect.gen(function* () {
        const idempotencyKey = yield* keyOf(payload, headers)
        const answer = yield* ask(
          "credits.use",
          UseAnswer,
          { ...payload, amount: payload.amount ?? null, idempotencyKey, caller: callerOf(headers) },
          { refusals: [InsufficientCredits, IdempotencyKeyReused], keyed: idempotencyKey !== undefined }
        )
        return { success: true as const, ...(yield* withoutMark(answer)) }
      }),
    { uninterruptible: true }
  )
)
