/** Personal credits: for the person whom the token names. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { Effect, Schema } from "effect"
import { Api } from "../contract/api.ts"
import { CurrentUser } from "../contract/auth.ts"
import { Pricing, Usage } from "../contract/credits.ts"
import { IdempotencyKeyReused, InsufficientCredits, TransactionNotFound } from "../contract/errors.ts"
import { uuid } from "../contract/fields.ts"
import { Balance, Transaction } from "../contract/ledger.ts"
import { Together } from "../database/together.ts"
import { answered, ask, withoutMark } from "./ask.ts"
import { keyOf } from "./idempotency.ts"
import { noteNextPage } from "./paging.ts"

const HistoryAnswer = Schema.Struct({ transactions: Schema.Array(Transaction), next: Schema.NullOr(uuid) })

export const credits = HttpApiBuilder.group(Api, "credits", (handlers) =>
  handlers
    .handle("balance", () => Effect.flatMap(CurrentUser, ({ userId }) => ask("credits.balance", Balance, { userId })))
    .handle(
      "use",
      ({ payload, headers }) =>
        Effect.gen(function* () {
          const { userId } = yield* CurrentUser
          const idempotencyKey = yield* keyOf(payload, headers)
          const { use } = yield* Together
          const answer = yield* answered(
            // The amount has no default, since an operation stands in for it.
            use({ ...payload, amount: payload.amount ?? null, userId, idempotencyKey, caller: "user" }),
            [InsufficientCredits, IdempotencyKeyReused]
          )
          return { success: true as const, ...(yield* withoutMark(answer)) }
        }),
      { uninterruptible: true }
    )
    .handle("transactions", ({ urlParams }) =>
      Effect.gen(function* () {
        const { userId } = yield* CurrentUser
        const page = yield* ask(
          "credits.history",
          HistoryAnswer,
          { ...urlParams, userId },
          { refusals: [TransactionNotFound] }
        )
        yield* noteNextPage(page.next)
        return page.transactions
      })
    )
    .handle("usage", ({ urlParams }) =>
      Effect.flatMap(CurrentUser, ({ userId }) => ask("credits.usage", Usage, { ...urlParams, userId }))
    )
    .handle("pricing", () => ask("credits.pricing", Pricing, {}))
)
