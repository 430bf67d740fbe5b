/** Refunds: made through the API, decided by the bank. */
import type { Stripe } from "stripe"
import { methodOf } from "./charges.ts"
import { invalid } from "./errors.ts"
import type { RefundCreate } from "./params.ts"
import { found, idOf, money, named, newId, type World } from "./world.ts"

const chargeToRefund = (world: World, params: RefundCreate): Stripe.Charge => {
  const { charges, paymentIntents } = world.state
  if (params.charge !== undefined && params.payment_intent !== undefined) {
    throw invalid("You may only specify one of these parameters: charge, payment_intent.", {
      code: "parameters_exclusive",
      param: "charge"
    })
  }
  if (params.charge !== undefined) return named(charges, "charge", params.charge)
  if (params.payment_intent === undefined) {
    throw invalid("One of the following params should be provided for this request: payment_intent or charge.")
  }
  const intent = named(paymentIntents, "payment_intent", params.payment_intent)
  const charge = charges[idOf(intent.latest_charge) ?? ""]
  if (intent.status !== "succeeded" || charge === undefined) {
    throw invalid(`This PaymentIntent (${intent.id}) does not have a successful charge to refund.`, {
      code: "payment_intent_unexpected_state",
      param: "payment_intent"
    })
  }
  return charge
}

const isContested = (world: World, charge: Stripe.Charge) =>
  Object.values(world.state.disputes).some((it) => it.charge === charge.id && !it.is_charge_refundable)

const checkRefundable = (world: World, charge: Stripe.Charge, amount: number | undefined) => {
  if (charge.status !== "succeeded") {
    throw invalid(`Charge ${charge.id} has not succeeded, so it cannot be refunded.`, { param: "charge" })
  }
  if (isContested(world, charge)) {
    throw invalid(`Charge ${charge.id} has been charged back; cannot issue a refund.`, { code: "charge_disputed" })
  }
  const left = charge.amount - charge.amount_refunded
  if (left === 0) {
    throw invalid(`Charge ${charge.id} has already been refunded.`, { code: "charge_already_refunded" })
  }
  if (amount !== undefined && amount < 1) {
    throw invalid("This value must be greater than or equal to 1.", {
      code: "parameter_invalid_integer",
      param: "amount"
    })
  }
  if (amount !== undefined && amount > left) {
    throw invalid(
      `Refund amount (${money(amount, charge.currency)}) is greater than unrefunded amount on charge ` +
        `(${money(left, charge.currency)})`,
      { code: "amount_too_large", param: "amount" }
    )
  }
}

/** A card's refund counts as done; a direct debit's is pending until `decideRefund`. */
export const createRefund = (world: World, params: RefundCreate): Stripe.Refund => {
  const charge = chargeToRefund(world, params)
  checkRefundable(world, charge, params.amount)
  const before = charge.amount_refunded
  const amount = params.amount ?? charge.amount - before
  const refund: Stripe.Refund = {
    id: newId(methodOf(charge) === "card" ? "re" : "pyr"),
    object: "refund",
    amount,
    balance_transaction: newId("txn"),
    charge: charge.id,
    created: world.now(),
    currency: charge.currency,
    customer: charge.customer,
    customer_account: null,
    ...(methodOf(charge) === "card"
      ? {
          destination_details: {
            type: "card",
            card: { reference_status: "pending", reference_type: "acquirer_reference_number", type: "refund" }
          },
          status: "succeeded"
        }
      : { pending_reason: "processing", status: "pending" }),
    metadata: { ...params.metadata },
    payment_intent: charge.payment_intent,
    payment_method: charge.payment_method,
    reason: params.reason ?? null,
    receipt_number: null,
    source_transfer_reversal: null,
    transfer_reversal: null
  }
  world.state.refunds[refund.id] = refund
  charge.amount_refunded = before + amount
  charge.refunded = charge.amount_refunded === charge.amount
  world.emit("refund.created", refund)
  world.emit("charge.refunded", charge, { amount_refunded: before, refunded: false })
  return refund
}

/** The bank books a refund, or sends it back: a failed one is as if it had not been, and may be tried again. */
export const decideRefund = (world: World, id: string, outcome: "succeeded" | "failed"): Stripe.Refund => {
  const refund = found(world.state.refunds, "refund", id)
  const { status } = refund
  // A card's refund can fail after it counted as done; nothing follows a failure.
  if (status === "failed" || (status === "succeeded" && outcome === "succeeded")) {
    throw invalid(`Refund ${id} has a status of ${status}.`)
  }
  refund.status = outcome
  delete refund.pending_reason
  if (outcome === "failed") {
    refund.failure_reason = "expired_or_canceled_card"
    refund.failure_balance_transaction = newId("txn")
    const charge = world.state.charges[idOf(refund.charge) ?? ""]
    if (charge !== undefined) {
      charge.amount_refunded -= refund.amount
      charge.refunded = false
    }
  }
  world.emit("refund.updated", refund, { status })
  world.emit("charge.refund.updated", refund, { status })
  if (outcome === "failed") world.emit("refund.failed", refund)
  return refund
}
