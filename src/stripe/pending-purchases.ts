/** Purchases that wait too long for Stripe's word: we ask. */
import { Effect, Schema } from "effect"
import { call } from "../database/call.ts"
import { applyIntent, applySession } from "./events.ts"
import { Order } from "./order.ts"
import { attachIntent, attachSession, intentsOf, sessionsOf } from "./payment.ts"
import { type Account, passFault } from "./stripe.ts"

const Orders = Schema.Array(Order)
const Status = Schema.Struct({ status: Schema.String })

/** Purchases a call, and calls a run: more than that waits for the next run. */
const limit = 50
const maxRounds = 20

const askIntent = (account: Account, id: string) =>
  account.ask((stripe) => stripe.paymentIntents.retrieve(id)).pipe(Effect.flatMap(applyIntent))

const askSession = Effect.fnUntraced(function* (account: Account, id: string) {
  const session = yield* account.ask((stripe) => stripe.checkout.sessions.retrieve(id, { expand: ["payment_intent"] }))
  const { payment_intent: intent } = session
  if (intent === null || typeof intent === "string") {
    yield* applySession(session)
    return
  }
  // Of a Checkout that is complete and not paid for, the payment says more: under way, or failed since.
  if (session.status !== "complete" || session.payment_status !== "unpaid") {
    yield* applySession({ ...session, payment_intent: intent.id })
  }
  yield* applyIntent(intent)
})

/** Between the question to Stripe and our note of its answer something broke: is there anything? */
const askCustomer = Effect.fnUntraced(function* (account: Account, order: Order, customer: string) {
  if (order.successUrl === null) {
    const intent = yield* intentsOf(account, order, customer)
    if (intent !== undefined) yield* Effect.andThen(attachIntent(order, intent), applyIntent(intent))
    return
  }
  const session = yield* sessionsOf(account, order, customer)
  if (session !== undefined) yield* Effect.andThen(attachSession(order, session), applySession(session))
})

const check = Effect.fnUntraced(
  function* (account: Account, order: Order) {
    const { purchaseId, paymentIntentId, checkoutSessionId, customerId } = order
    if (paymentIntentId !== null) yield* askIntent(account, paymentIntentId)
    if (checkoutSessionId !== null) yield* askSession(account, checkoutSessionId)
    if (paymentIntentId === null && checkoutSessionId === null && customerId !== null) {
      yield* askCustomer(account, order, customerId)
    }
    // Only what is old enough.
    yield* call("stripe.give_up_purchase", Status, { purchaseId }, { keyed: true })
  },
  // One that Stripe won't speak of doesn't stop the others; it comes round again.
  (checked, _account, { purchaseId }) =>
    Effect.catchTags(checked, {
      StripeRefused: ({ message }) =>
        Effect.logWarning("Stripe won't tell of a purchase").pipe(Effect.annotateLogs({ purchaseId, reason: message })),
      StripeAway: passFault("Stripe fails at a purchase", purchaseId)
    })
)

/** Asks about everything that is due; answers how many purchases that were. */
export const pendingPurchases = Effect.fnUntraced(function* (account: Account) {
  let asked = 0
  for (let round = 0; round < maxRounds; round += 1) {
    const orders = yield* call("stripe.due_purchases", Orders, { livemode: account.livemode, limit })
    for (const order of orders) yield* check(account, order)
    asked += orders.length
    if (orders.length < limit) break
  }
  return asked
})
