/** Personal credits: for the person whom the token names. */
import { Effect, Schema } from "effect"
import { credits as contract, Pricing, Usage } from "../contract/credits.ts"
import { IdempotencyKeyReused, InsufficientCredits, TransactionNotFound } from "../contract/errors.ts"
import { uuid } from "../contract/fields.ts"
import { Balance, Transaction } from "../contract/ledger.ts"
import { Together } from "../database/together.ts"
import { answered, ask, withoutMark } from "./ask.ts"
import { keyOf } from "./idempotency.ts"
import { noteNextPage } from "./paging.ts"
import { anybody, user } from "./callers.ts"
import { endpointsOf, route } from "./route.ts"

const HistoryAnswer = Schema.Struct({ transactions: Schema.Array(Transaction), next: Schema.NullOr(uuid) })

const to = endpointsOf(contract)

export const credits = [
  route(to("balance"), user, ({ caller: { userId } }) => ask("credits.balance", Balance, { userId })),
  route(to("use"), user, ({ payload, headers, caller: { userId }, request }) =>
    Effect.gen(function* () {
      const idempotencyKey = yield* keyOf(request, payload, headers)
      const { use } = yield* Together
      const answer = yield* answered(
        // The amount has no default, since an operation stands in for it.
        use({ ...payload, amount: payload.amount ?? null, userId, idempotencyKey, caller: "user" }),
        [InsufficientCredits, IdempotencyKeyReused]
      )
      return { success: true as const, ...withoutMark(request, answer) }
    })
  ),
  route(to("transactions"), user, ({ urlParams, caller: { userId }, request }) =>
    Effect.gen(function* () {
      const page = yield* ask(
        "credits.history",
        HistoryAnswer,
        { ...urlParams, userId },
        { refusals: [TransactionNotFound] }
      )
      yield* noteNextPage(request, page.next)
      return page.transactions
    })
  ),
  route(to("usage"), user, ({ urlParams, caller: { userId } }) =>
    ask("credits.usage", Usage, { ...urlParams, userId })
  ),
  route(to("pricing"), anybody, () => ask("credits.pricing", Pricing, {}))
]
