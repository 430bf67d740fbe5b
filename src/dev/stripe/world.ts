/**
 * What the simulated Stripe knows: its objects, its events, its clock. One step of the world is one synchronous
 * function: nobody sees half of another's work. Objects have Stripe's own types, so that a field the real API
 * always sends can't be missing.
 */
import { randomBytes } from "node:crypto"
import { Stripe } from "stripe"
import { missing } from "./errors.ts"
import type { Remembered } from "./idempotency.ts"

/** The events that we send, and what each is about. */
export interface EventObjects {
  "customer.created": Stripe.Customer
  "payment_intent.created": Stripe.PaymentIntent
  "payment_intent.processing": Stripe.PaymentIntent
  "payment_intent.succeeded": Stripe.PaymentIntent
  "payment_intent.payment_failed": Stripe.PaymentIntent
  "payment_intent.canceled": Stripe.PaymentIntent
  "charge.pending": Stripe.Charge
  "charge.succeeded": Stripe.Charge
  "charge.failed": Stripe.Charge
  /** The money's own entry in the books follows a moment after the payment. */
  "charge.updated": Stripe.Charge
  "charge.refunded": Stripe.Charge
  "charge.refund.updated": Stripe.Refund
  "refund.created": Stripe.Refund
  "refund.updated": Stripe.Refund
  "refund.failed": Stripe.Refund
  "charge.dispute.created": Stripe.Dispute
  "charge.dispute.funds_withdrawn": Stripe.Dispute
  "charge.dispute.funds_reinstated": Stripe.Dispute
  "charge.dispute.closed": Stripe.Dispute
  "checkout.session.completed": Stripe.Checkout.Session
  "checkout.session.async_payment_succeeded": Stripe.Checkout.Session
  "checkout.session.async_payment_failed": Stripe.Checkout.Session
  "checkout.session.expired": Stripe.Checkout.Session
  "price.created": Stripe.Price
}
export type EventType = keyof EventObjects

export interface SimulatedEvent {
  readonly id: string
  readonly object: "event"
  readonly api_version: string
  readonly created: number
  /** As the object was at the moment of the event. */
  readonly data: { readonly object: unknown; readonly previous_attributes?: unknown }
  readonly livemode: false
  /** 0 once the webhook took it. */
  pending_webhooks: number
  readonly request: Stripe.Event.Request
  readonly type: EventType
}

export interface State {
  readonly customers: Record<string, Stripe.Customer>
  readonly prices: Record<string, Stripe.Price>
  readonly paymentIntents: Record<string, Stripe.PaymentIntent>
  readonly charges: Record<string, Stripe.Charge>
  readonly refunds: Record<string, Stripe.Refund>
  readonly disputes: Record<string, Stripe.Dispute>
  readonly sessions: Record<string, Stripe.Checkout.Session>
  /** By session. */
  readonly lineItems: Record<string, Array<Stripe.LineItem>>
  /** By session: what its PaymentIntent will carry. */
  readonly intentData: Record<string, Pick<Stripe.PaymentIntent, "description" | "metadata" | "receipt_email">>
  /** By PaymentIntent: when the bank will have decided on a direct debit (unix seconds), and how. */
  readonly decisions: Record<string, { readonly at: number; readonly outcome: "succeeded" | "failed" }>
  readonly events: Record<string, SimulatedEvent>
  /** By idempotency key. */
  readonly answers: Record<string, Remembered>
}

export const emptyState = (): State => ({
  customers: {},
  prices: {},
  paymentIntents: {},
  charges: {},
  refunds: {},
  disputes: {},
  sessions: {},
  lineItems: {},
  intentData: {},
  decisions: {},
  events: {},
  answers: {}
})

export interface World {
  readonly state: State
  /** Where our checkout pages are. */
  readonly url: string
  /** Unix seconds. */
  readonly now: () => number
  /** How long the bank takes over a direct debit, in seconds; without it, until it is told. */
  readonly debitDecidedAfter: number | undefined
  /** Of the API call being carried out; what payer and bank do has none. */
  request: Stripe.Event.Request
  readonly emit: <T extends EventType>(
    type: T,
    object: EventObjects[T],
    previous?: Partial<Record<keyof EventObjects[T], unknown>>
  ) => void
}

export const noRequest: Stripe.Event.Request = { id: null, idempotency_key: null }

const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

/** `pi_` and 24 letters or digits, as long as Stripe's. */
export const newId = (prefix: string, length = 24) =>
  `${prefix}_${Array.from(randomBytes(length), (byte) => letters[byte % letters.length]).join("")}`

export interface WorldOptions extends Pick<World, "state" | "url" | "now" | "debitDecidedAfter"> {
  /** How many webhook endpoints want events of a type: 0 or 1. */
  readonly audience: (type: EventType) => number
  readonly onEvent: (event: SimulatedEvent) => void
}

export const makeWorld = ({ audience, onEvent, ...options }: WorldOptions): World => {
  const world: World = {
    ...options,
    request: noRequest,
    emit: (type, object, previous) => {
      const event: SimulatedEvent = {
        id: newId("evt"),
        object: "event",
        api_version: Stripe.API_VERSION,
        created: world.now(),
        data: {
          object: JSON.parse(JSON.stringify(object)),
          ...(previous === undefined ? {} : { previous_attributes: previous })
        },
        livemode: false,
        pending_webhooks: audience(type),
        request: world.request,
        type
      }
      world.state.events[event.id] = event
      onEvent(event)
    }
  }
  return world
}

/** The object a path names. */
export const found = <A>(objects: Readonly<Record<string, A>>, kind: string, id: string, param = "id"): A => {
  const object = objects[id]
  if (object === undefined) throw missing(kind, id, param, 404)
  return object
}

/** The object a parameter names. */
export const named = <A>(objects: Readonly<Record<string, A>>, kind: string, id: string, param = kind): A => {
  const object = objects[id]
  if (object === undefined) throw missing(kind, id, param, 400)
  return object
}

/** We store references as ids; Stripe's types allow for expanded ones. */
export const idOf = (reference: string | { readonly id: string } | null): string | undefined =>
  typeof reference === "string" ? reference : reference?.id

/** `€10.00`, for the messages of errors. */
export const money = (amount: number, currency: string) =>
  new Intl.NumberFormat("en", { style: "currency", currency }).format(amount / 100)
