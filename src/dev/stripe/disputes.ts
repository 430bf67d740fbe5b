/** Disputes: opened and closed by the payer's bank. */
import type { Stripe } from "stripe"
import { methodOf } from "./charges.ts"
import { invalid } from "./errors.ts"
import { found, idOf, newId, type World } from "./world.ts"

const week = 7 * 24 * 60 * 60

/** What Stripe charges for a card dispute, in cents. */
const fee = 2000

const noEvidence: Stripe.Dispute.Evidence = {
  access_activity_log: null,
  billing_address: null,
  cancellation_policy: null,
  cancellation_policy_disclosure: null,
  cancellation_rebuttal: null,
  customer_communication: null,
  customer_email_address: null,
  customer_name: null,
  customer_purchase_ip: null,
  customer_signature: null,
  duplicate_charge_documentation: null,
  duplicate_charge_explanation: null,
  duplicate_charge_id: null,
  enhanced_evidence: {},
  product_description: null,
  receipt: null,
  refund_policy: null,
  refund_policy_disclosure: null,
  refund_refusal_explanation: null,
  service_date: null,
  service_documentation: null,
  shipping_address: null,
  shipping_carrier: null,
  shipping_date: null,
  shipping_documentation: null,
  shipping_tracking_number: null,
  uncategorized_file: null,
  uncategorized_text: null
}

const movement = (world: World, dispute: Stripe.Dispute, amount: number, feeAmount: number) => ({
  id: newId("txn"),
  object: "balance_transaction" as const,
  amount,
  available_on: world.now() + week,
  balance_type: "payments",
  created: world.now(),
  currency: dispute.currency,
  description: `Chargeback ${amount < 0 ? "withdrawal" : "reversal"} for ${idOf(dispute.charge) ?? ""}`,
  exchange_rate: null,
  fee: feeAmount,
  fee_details: [],
  net: amount - feeAmount,
  reporting_category: amount < 0 ? "dispute" : "dispute_reversal",
  source: dispute.id,
  status: "pending",
  type: "adjustment"
})

export interface DisputeOptions {
  /** Cents; the whole charge, or what refunds left of a card's, unless said otherwise. */
  readonly amount?: number
  /** `fraudulent` unless said otherwise. */
  readonly reason?: string
  /** The bank only asks, no money moves yet. */
  readonly inquiry?: boolean
}

const chargeOf = (world: World, id: string): Stripe.Charge => {
  if (!id.startsWith("pi_")) return found(world.state.charges, "charge", id, "charge")
  const intent = found(world.state.paymentIntents, "payment_intent", id, "intent")
  return found(world.state.charges, "charge", idOf(intent.latest_charge) ?? "", "charge")
}

const checkDisputable = (charge: Stripe.Charge, amount: number) => {
  if (charge.status !== "succeeded")
    throw invalid(`Charge ${charge.id} has not succeeded: there is nothing to dispute.`)
  if (charge.disputed) throw invalid(`Charge ${charge.id} has been disputed already.`)
  // Banks don't take back what a card got back in full. Of direct debits they do.
  if (methodOf(charge) === "card" && charge.refunded) {
    throw invalid(`Charge ${charge.id} is fully refunded: a card's bank opens no dispute for it.`)
  }
  if (amount < 1 || amount > charge.amount) throw invalid(`A dispute is about 1 to ${charge.amount} cents.`)
}

/** Of a charge or a PaymentIntent. One about a direct debit is lost at once: nobody can contest it. */
export const openDispute = (world: World, id: string, options: DisputeOptions = {}): Stripe.Dispute => {
  const charge = chargeOf(world, id)
  const isDebit = methodOf(charge) === "sepa_debit"
  const amount = options.amount ?? (isDebit ? charge.amount : charge.amount - charge.amount_refunded)
  checkDisputable(charge, amount)
  const inquiry = options.inquiry === true && !isDebit
  const dispute: Stripe.Dispute = {
    id: newId("du"),
    object: "dispute",
    amount,
    balance_transactions: [],
    charge: charge.id,
    created: world.now(),
    currency: charge.currency,
    enhanced_eligibility_types: [],
    evidence: noEvidence,
    evidence_details: {
      due_by: isDebit ? null : world.now() + week,
      enhanced_eligibility: {},
      has_evidence: false,
      past_due: false,
      submission_count: 0,
      submission_method: "not_submitted"
    },
    intended_submission_method: null,
    is_charge_refundable: inquiry,
    livemode: false,
    metadata: {},
    payment_intent: charge.payment_intent,
    ...(isDebit
      ? {}
      : {
          payment_method_details: {
            type: "card",
            card: {
              brand: "visa",
              case_type: inquiry ? "inquiry" : "chargeback",
              network: "visa",
              network_reason_code: "10.4"
            }
          }
        }),
    reason: options.reason ?? "fraudulent",
    status: isDebit ? "lost" : inquiry ? "warning_needs_response" : "needs_response"
  }
  world.state.disputes[dispute.id] = dispute
  charge.disputed = true
  if (!inquiry) dispute.balance_transactions.push(movement(world, dispute, -amount, isDebit ? 0 : fee))
  world.emit("charge.dispute.created", dispute)
  if (!inquiry) world.emit("charge.dispute.funds_withdrawn", dispute)
  if (isDebit) world.emit("charge.dispute.closed", dispute)
  return dispute
}

const closed = ["won", "lost", "warning_closed"]

export const closeDispute = (world: World, id: string, outcome: "won" | "lost"): Stripe.Dispute => {
  const dispute = found(world.state.disputes, "dispute", id, "dispute")
  if (closed.includes(dispute.status)) throw invalid("This dispute is already closed.")
  const { status } = dispute
  dispute.status = status === "warning_needs_response" ? "warning_closed" : outcome
  if (dispute.status === "won") {
    dispute.is_charge_refundable = true
    dispute.balance_transactions.push(movement(world, dispute, dispute.amount, 0))
    world.emit("charge.dispute.funds_reinstated", dispute)
  }
  world.emit("charge.dispute.closed", dispute, { status })
  return dispute
}
