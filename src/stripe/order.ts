/** A purchase as SQL hands it over: what Stripe is to be asked for, and what it was asked for already. */
import { Schema } from "effect"

/** What stripe.purchase_order answers. */
export const Order = Schema.Struct({
  purchaseId: Schema.String,
  userId: Schema.String,
  credits: Schema.Number,
  priceEuroCents: Schema.Number,
  stripePriceId: Schema.NullOr(Schema.String),
  successUrl: Schema.NullOr(Schema.String),
  cancelUrl: Schema.NullOr(Schema.String),
  customerId: Schema.NullOr(Schema.String),
  /** When we began to have one, or to want one. */
  customerSince: Schema.String,
  email: Schema.NullOr(Schema.String),
  paymentIntentId: Schema.NullOr(Schema.String),
  checkoutSessionId: Schema.NullOr(Schema.String),
  checkoutUrl: Schema.NullOr(Schema.String)
})
export type Order = typeof Order.Type

/** Given to everything we make in Stripe, and back to us with its events. */
export const metadataOf = ({ purchaseId, userId }: Order) => ({ purchaseId, userId })

/** Whether something in Stripe was made for this purchase. */
export const isOf =
  ({ purchaseId }: Order) =>
  ({ metadata }: { readonly metadata: Readonly<Record<string, string>> | null }) =>
    metadata?.["purchaseId"] === purchaseId
