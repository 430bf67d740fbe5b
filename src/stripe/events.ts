/** What Stripe says of an object now, in the form of an event: reconciliation tells the books in the same words. */
import { Clock, Effect, Schema } from "effect"
import { Stripe } from "stripe"
import { call } from "../database/call.ts"
import { sanitizeJson } from "./sanitize-json.ts"

const Applied = Schema.Struct({ outcome: Schema.Literals(["applied", "ignored", "kept"]) })

/** Every type that changes a purchase: stripe.event_kind's list. */
export const relevantTypes = [
  "payment_intent.succeeded",
  "payment_intent.processing",
  "payment_intent.payment_failed",
  "payment_intent.canceled",
  "checkout.session.completed",
  "checkout.session.async_payment_succeeded",
  "checkout.session.async_payment_failed",
  "checkout.session.expired",
  "charge.refunded",
  "charge.refund.updated",
  "refund.created",
  "refund.updated",
  "refund.failed",
  "charge.dispute.created",
  "charge.dispute.updated",
  "charge.dispute.funds_withdrawn",
  "charge.dispute.funds_reinstated",
  "charge.dispute.closed"
] as const

export const applyEvent = (event: object) =>
  call("stripe.apply_event", Applied, { event: sanitizeJson(JSON.stringify(event)) }, { keyed: true })

interface Observed {
  readonly id: string
  readonly livemode: boolean
}

/** Tells the books what was seen just now. `type` is the event that would say the same. */
export const applyObserved = (
  type: (typeof relevantTypes)[number],
  object: Stripe.PaymentIntent | Stripe.Checkout.Session | Stripe.Refund,
  { id, livemode }: Observed
) =>
  Effect.flatMap(Clock.currentTimeMillis, (millis) => {
    const created = Math.floor(millis / 1000)
    return applyEvent({
      // Ours, told apart from Stripe's by its name; each look is an event of its own.
      id: `seen_${id}_${type.replace(/^.*\./, "")}_${created}`,
      object: "event",
      api_version: Stripe.API_VERSION,
      created,
      livemode,
      type,
      data: { object }
    })
  })

/** The event that a PaymentIntent in this state comes from; none while nobody has tried to pay. */
const typeOfIntent = ({ status, last_payment_error: error }: Stripe.PaymentIntent) => {
  if (status === "succeeded") return "payment_intent.succeeded"
  if (status === "processing") return "payment_intent.processing"
  if (status === "canceled") return "payment_intent.canceled"
  return status === "requires_payment_method" && error !== null ? "payment_intent.payment_failed" : undefined
}

const typeOfSession = ({ status }: Stripe.Checkout.Session) => {
  if (status === "complete") return "checkout.session.completed"
  return status === "expired" ? "checkout.session.expired" : undefined
}

export const applyIntent = (intent: Stripe.PaymentIntent) => {
  const type = typeOfIntent(intent)
  return type === undefined ? Effect.void : applyObserved(type, intent, intent)
}

export const applySession = (session: Stripe.Checkout.Session) => {
  const type = typeOfSession(session)
  return type === undefined ? Effect.void : applyObserved(type, session, session)
}
