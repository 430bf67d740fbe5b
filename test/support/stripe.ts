/** Stripe's events as it sends them, cut down to the fields that we read, and purchases to send them about. */
import { randomUUID } from "node:crypto"
import type { TestDatabase } from "./database.ts"

/** What stripe.api_version() says; a test compares it with the library's. */
export const apiVersion = "2026-10-28.endive"

export interface Purchase {
  readonly userId: string
  readonly purchaseId: string
  readonly paymentIntentId: string
  readonly checkoutSessionId: string
  readonly chargeId: string
  readonly credits: number
  readonly priceEuroCents: number
}

export interface StripeEvent {
  readonly id: string
  readonly object: "event"
  readonly api_version: string
  readonly created: number
  readonly livemode: boolean
  readonly type: string
  readonly data: { readonly object: Record<string, unknown> }
}

export interface EventOptions {
  /** Seconds after the first of March 2026. */
  readonly at?: number
  readonly id?: string
  readonly livemode?: boolean
  readonly apiVersion?: string
}

const march = Date.UTC(2026, 2, 1, 12) / 1000

const event = (type: string, object: Record<string, unknown>, options: EventOptions = {}): StripeEvent => ({
  id: options.id ?? `evt_${randomUUID()}`,
  object: "event",
  api_version: options.apiVersion ?? apiVersion,
  created: march + (options.at ?? 0),
  livemode: options.livemode ?? false,
  type,
  data: { object }
})

type Fields = Readonly<Record<string, unknown>>

const metadata = (purchase: Purchase) => ({ purchaseId: purchase.purchaseId, userId: purchase.userId })

const intentStatus: Record<string, string> = {
  succeeded: "succeeded",
  processing: "processing",
  payment_failed: "requires_payment_method",
  canceled: "canceled"
}

export const paymentIntent = (purchase: Purchase, what: string, options: EventOptions & { fields?: Fields } = {}) =>
  event(
    `payment_intent.${what}`,
    {
      id: purchase.paymentIntentId,
      object: "payment_intent",
      amount: purchase.priceEuroCents,
      amount_received: what === "succeeded" ? purchase.priceEuroCents : 0,
      currency: "eur",
      status: intentStatus[what] ?? "requires_payment_method",
      metadata: metadata(purchase),
      ...options.fields
    },
    options
  )

const sessionState: Record<string, Fields> = {
  completed: { status: "complete", payment_status: "paid" },
  async_payment_succeeded: { status: "complete", payment_status: "paid" },
  async_payment_failed: { status: "complete", payment_status: "unpaid" },
  expired: { status: "expired", payment_status: "unpaid" }
}

export const checkoutSession = (purchase: Purchase, what: string, options: EventOptions & { fields?: Fields } = {}) =>
  event(
    `checkout.session.${what}`,
    {
      id: purchase.checkoutSessionId,
      object: "checkout.session",
      amount_total: purchase.priceEuroCents,
      currency: "eur",
      payment_intent: what === "expired" ? null : purchase.paymentIntentId,
      client_reference_id: purchase.purchaseId,
      metadata: metadata(purchase),
      ...sessionState[what],
      ...options.fields
    },
    options
  )

/** `charge.refunded`; refunded is the total so far, in euro cents. */
export const chargeRefunded = (
  purchase: Purchase,
  refunded: number,
  options: EventOptions & { fields?: Fields } = {}
) =>
  event(
    "charge.refunded",
    {
      id: purchase.chargeId,
      object: "charge",
      amount: purchase.priceEuroCents,
      amount_refunded: refunded,
      currency: "eur",
      payment_intent: purchase.paymentIntentId,
      metadata: {},
      ...options.fields
    },
    options
  )

export interface RefundOptions extends EventOptions {
  readonly refundId: string
  readonly amount: number
  readonly status?: string
  readonly fields?: Fields
}

export const refund = (purchase: Purchase, what: "created" | "updated" | "failed", options: RefundOptions) =>
  event(
    `refund.${what}`,
    {
      id: options.refundId,
      object: "refund",
      amount: options.amount,
      currency: "eur",
      charge: purchase.chargeId,
      payment_intent: purchase.paymentIntentId,
      status: options.status ?? (what === "failed" ? "failed" : "succeeded"),
      metadata: {},
      ...options.fields
    },
    options
  )

export interface DisputeOptions extends EventOptions {
  readonly disputeId?: string
  readonly amount?: number
  readonly status?: string
  /** Euro cents as Stripe books them: negative when taken, positive when given back. */
  readonly booked?: ReadonlyArray<number>
  readonly fields?: Fields
}

export const dispute = (
  purchase: Purchase,
  what: "created" | "updated" | "funds_withdrawn" | "funds_reinstated" | "closed",
  options: DisputeOptions = {}
) =>
  event(
    `charge.dispute.${what}`,
    {
      id: options.disputeId ?? `du_${purchase.purchaseId}`,
      object: "dispute",
      amount: options.amount ?? purchase.priceEuroCents,
      currency: "eur",
      charge: purchase.chargeId,
      payment_intent: purchase.paymentIntentId,
      status: options.status ?? "needs_response",
      balance_transactions: (options.booked ?? []).map((amount) => ({ amount, currency: "eur" })),
      metadata: {},
      ...options.fields
    },
    options
  )

/** Sends events one after the other; answers with what the last one came to. */
export const send = async (db: TestDatabase, ...events: ReadonlyArray<StripeEvent>) => {
  let answer = null
  for (const each of events) answer = await db.call("stripe.apply_event", { event: each })
  return answer
}

export interface PurchaseOptions {
  readonly packageId?: string
  /** Whether Stripe's answer has been kept: the PaymentIntent, or with checkout the session, which has none yet. */
  readonly attached?: boolean
  readonly checkout?: boolean
  readonly livemode?: boolean
}

/** A purchase begun by a user (a new one unless said otherwise), with the ids that Stripe would give it. */
export const begin = async (db: TestDatabase, options: PurchaseOptions = {}, user?: string): Promise<Purchase> => {
  const userId = user ?? (await db.userWith(0))
  const urls = { successUrl: "https://app.test/done", cancelUrl: "https://app.test/back" }
  const order = await db.call("stripe.begin_purchase", {
    userId,
    packageId: options.packageId ?? "credits_1000",
    livemode: options.livemode ?? false,
    ...(options.checkout === true ? urls : {})
  })
  const tail = randomUUID().replaceAll("-", "")
  const purchase: Purchase = {
    userId,
    purchaseId: order.purchaseId,
    paymentIntentId: `pi_${tail}`,
    checkoutSessionId: `cs_test_${tail}`,
    chargeId: `ch_${tail}`,
    credits: order.credits,
    priceEuroCents: order.priceEuroCents
  }
  if (options.attached !== false) {
    await db.call("stripe.attach_payment", {
      purchaseId: purchase.purchaseId,
      ...(options.checkout === true
        ? { checkoutSessionId: purchase.checkoutSessionId, checkoutUrl: "https://checkout.test/pay" }
        : { paymentIntentId: purchase.paymentIntentId })
    })
  }
  return purchase
}

/** A purchase that was paid. */
export const paid = async (db: TestDatabase, options: PurchaseOptions = {}, user?: string): Promise<Purchase> => {
  const purchase = await begin(db, options, user)
  await send(db, paymentIntent(purchase, "succeeded"))
  return purchase
}

/** Where a purchase and its user stand. */
export const standing = async (db: TestDatabase, { userId, purchaseId }: Purchase) => {
  const { status, creditsKept } = await db.call("credits.purchase", { userId, purchaseId })
  const { balance, debt } = await db.call("credits.balance", { userId })
  return { status, creditsKept, balance, debt }
}

/** The types of the events written to the outbox about a user, in order. */
export const outbox = async (db: TestDatabase, userId: string): Promise<ReadonlyArray<string>> => {
  const rows = await db.query("select type from credits.events where user_id = $1 order by id", [userId])
  return rows.map((row) => row.type)
}
