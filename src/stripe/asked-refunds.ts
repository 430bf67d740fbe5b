/** Refunds that somebody asked for by hand (ops.refund_purchase): sent to Stripe, once each. */
import { Effect, Schema } from "effect"
import { call } from "../database/call.ts"
import { applyObserved } from "./events.ts"
import { type Account, passFault } from "./stripe.ts"

const Requests = Schema.Array(
  Schema.Struct({
    requestId: Schema.String,
    purchaseId: Schema.String,
    paymentIntentId: Schema.String,
    amountEuroCents: Schema.Number
  })
)
type Request = (typeof Requests.Type)[number]

const Closed = Schema.Struct({ status: Schema.String })

const close = (request: Request, end: { readonly refundId: string } | { readonly error: string }) =>
  call("stripe.close_refund", Closed, { requestId: request.requestId, ...end }, { keyed: true })

const create = (account: Account, request: Request) =>
  account.ask((stripe) =>
    stripe.refunds.create(
      {
        payment_intent: request.paymentIntentId,
        amount: request.amountEuroCents,
        metadata: { purchaseId: request.purchaseId, requestId: request.requestId }
      },
      { idempotencyKey: `refund_${request.requestId}` }
    )
  )

/** What a request was answered with a fault for, or not at all, may be made; and Stripe forgets its key after a day. */
const madeBefore = (account: Account, request: Request) =>
  account.ask(async (stripe) => {
    const refunds = await stripe.refunds
      .list({ payment_intent: request.paymentIntentId, limit: 100 })
      .autoPagingToArray({ limit: 1000 })
    return refunds.find(({ metadata }) => metadata?.["requestId"] === request.requestId)
  })

const send = (account: Account, request: Request) =>
  madeBefore(account, request).pipe(
    Effect.flatMap((made) => (made === undefined ? create(account, request) : Effect.succeed(made))),
    Effect.flatMap((refund) =>
      Effect.andThen(
        close(request, { refundId: refund.id }),
        applyObserved("refund.created", refund, { id: refund.id, livemode: account.livemode })
      )
    ),
    Effect.catchTag("StripeRefused", ({ message }) =>
      Effect.andThen(
        Effect.logWarning("Stripe refuses a refund").pipe(
          Effect.annotateLogs({ purchaseId: request.purchaseId, reason: message })
        ),
        close(request, { error: message })
      )
    ),
    Effect.catchTag("StripeAway", passFault("Stripe fails at a refund", request.purchaseId)),
    Effect.asVoid
  )

/** Sends what is due; answers how many. */
export const askedRefunds = Effect.fnUntraced(function* (account: Account) {
  const requests = yield* call("stripe.due_refunds", Requests, { livemode: account.livemode })
  yield* Effect.forEach(requests, (request) => send(account, request), { discard: true })
  return requests.length
})
