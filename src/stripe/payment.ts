/**
 * What a buyer pays with: a PaymentIntent or a Checkout Session, one a purchase. Every call carries a key derived from
 * the purchase, so whoever asks again, after whatever went wrong, comes to the same one.
 */
import { Effect } from "effect"
import type { Stripe } from "stripe"
import { call } from "../database/call.ts"
import { withCustomer } from "./customer.ts"
import { isOf, metadataOf, Order } from "./order.ts"
import type { Account, StripeAway, StripeRefused } from "./stripe.ts"

// Not from the package, whose name may change between two attempts: what comes with one key must stay the same.
const nameOf = ({ credits }: Order) => `${credits} credits`

/** Of the customer too: for one that is gone nothing was made, and for the next one the same key would be another request. */
const keyOf = ({ purchaseId }: Order, customer: string, kind: "pi" | "cs") =>
  `purchase_${purchaseId}_${kind}_${customer}`

const methods: Array<"card" | "sepa_debit"> = ["card", "sepa_debit"]

/** What a customer has of a kind; a person begins a handful of purchases, and the one we look for is among the last. */
const latest = 100

export const intentsOf = (account: Account, order: Order, customer: string) =>
  account
    .ask((stripe) => stripe.paymentIntents.list({ customer, limit: latest }))
    .pipe(Effect.map(({ data }) => data.find(isOf(order))))

export const sessionsOf = (account: Account, order: Order, customer: string) =>
  account
    .ask((stripe) => stripe.checkout.sessions.list({ customer, limit: latest }))
    .pipe(Effect.map(({ data }) => data.find(isOf(order))))

/**
 * The key got an answer that says nothing of what was done, and gets no other for a day: a fault, or that it was used
 * for something else. What was made, if anything, is in Stripe's list; another key could make a second one.
 */
const orFound =
  <A>(search: Effect.Effect<A | undefined, StripeAway | StripeRefused>) =>
  <E extends StripeAway | StripeRefused, R>(create: Effect.Effect<A, E, R>) =>
    create.pipe(
      Effect.catch((error) =>
        error._tag === "StripeAway" && !error.answered
          ? Effect.fail(error)
          : Effect.flatMap(search, (found) => (found === undefined ? Effect.fail(error) : Effect.succeed(found)))
      )
    )

const createIntent = (account: Account, order: Order, customer: string) =>
  account
    .ask((stripe) =>
      stripe.paymentIntents.create(
        {
          amount: order.priceEuroCents,
          currency: "eur",
          customer,
          description: nameOf(order),
          allowed_payment_method_types: methods,
          metadata: metadataOf(order)
        },
        { idempotencyKey: keyOf(order, customer, "pi") }
      )
    )
    .pipe(orFound(intentsOf(account, order, customer)))

const createSession = (account: Account, order: Order, customer: string, successUrl: string, cancelUrl: string) =>
  account
    .ask((stripe) =>
      stripe.checkout.sessions.create(
        {
          mode: "payment",
          customer,
          success_url: successUrl,
          cancel_url: cancelUrl,
          client_reference_id: order.purchaseId,
          line_items: [{ quantity: 1, ...priceOf(order) }],
          allowed_payment_method_types: methods,
          metadata: metadataOf(order),
          payment_intent_data: { description: nameOf(order), metadata: metadataOf(order) }
        },
        { idempotencyKey: keyOf(order, customer, "cs") }
      )
    )
    .pipe(orFound(sessionsOf(account, order, customer)))

const priceOf = (order: Order): Pick<Stripe.Checkout.SessionCreateParams.LineItem, "price" | "price_data"> =>
  order.stripePriceId === null
    ? { price_data: { currency: "eur", unit_amount: order.priceEuroCents, product_data: { name: nameOf(order) } } }
    : { price: order.stripePriceId }

const attach = (order: Order, made: { paymentIntentId?: string; checkoutSessionId?: string; checkoutUrl?: string }) =>
  call("stripe.attach_payment", Order, { purchaseId: order.purchaseId, ...made }, { keyed: true })

export const attachIntent = (order: Order, { id }: Stripe.PaymentIntent) => attach(order, { paymentIntentId: id })

export const attachSession = (order: Order, { id, url }: Stripe.Checkout.Session) =>
  attach(order, { checkoutSessionId: id, ...(url === null ? {} : { checkoutUrl: url }) })

/** The secret with which the buyer's browser pays the PaymentIntent. */
const clientSecret = Effect.fnUntraced(function* (account: Account, order: Order) {
  const { paymentIntentId } = order
  const intent =
    paymentIntentId === null
      ? yield* withCustomer(account, order, (customer) => createIntent(account, order, customer))
      : yield* account.ask((stripe) => stripe.paymentIntents.retrieve(paymentIntentId))
  if (paymentIntentId === null) yield* attachIntent(order, intent)
  return intent.client_secret ?? (yield* Effect.die(new Error(`${intent.id} has no client secret`)))
})

/** The page on which the buyer pays. */
const checkoutUrl = Effect.fnUntraced(function* (
  account: Account,
  order: Order,
  successUrl: string,
  cancelUrl: string
) {
  if (order.checkoutUrl !== null) return order.checkoutUrl
  const session = yield* withCustomer(account, order, (customer) =>
    createSession(account, order, customer, successUrl, cancelUrl)
  )
  if (session.amount_total !== order.priceEuroCents) {
    // Paid like this, it would never be credited.
    yield* account.ask((stripe) => stripe.checkout.sessions.expire(session.id))
    return yield* Effect.die(
      new Error(`${order.stripePriceId} costs ${session.amount_total} in Stripe, the package ${order.priceEuroCents}`)
    )
  }
  yield* attachSession(order, session)
  return session.url ?? (yield* Effect.die(new Error(`${session.id} has no page`)))
})

/** What the buyer's app goes on with. */
export const startPayment = Effect.fnUntraced(function* (account: Account, order: Order) {
  const { successUrl, cancelUrl } = order
  return successUrl === null || cancelUrl === null
    ? { clientSecret: yield* clientSecret(account, order) }
    : { checkoutUrl: yield* checkoutUrl(account, order, successUrl, cancelUrl) }
})
