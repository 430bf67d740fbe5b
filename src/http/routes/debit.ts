/** One debit, a person's or a service's: in a call with others that come at the same time. */
import { Effect } from "effect"
import type { HttpApiEndpoint } from "effect/http-api"
import { type Debit, DebitBatcher } from "../../debits/batcher.ts"
import { answered, type Asked, noteReplay } from "./ask.ts"
import { keyOf } from "./idempotency.ts"

type DebitAsked = Omit<Debit, "amount" | "idempotencyKey"> & { readonly amount?: number }

/** Makes the function that debits, with the request's idempotency key. */
export const askForDebit = Effect.map(
  DebitBatcher,
  ({ use }) =>
    <Endpoint extends HttpApiEndpoint.Top>(asked: Asked<Endpoint>, debit: DebitAsked) =>
      Effect.flatMap(keyOf(asked), (idempotencyKey) =>
        // The amount has no default, since an operation stands in for it.
        answered(asked.endpoint, use({ ...debit, amount: debit.amount ?? null, idempotencyKey }))
      ).pipe(Effect.flatMap(noteReplay))
)
