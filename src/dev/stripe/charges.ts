/** A charge is one attempt to take the money of a PaymentIntent. */
import type { Stripe } from "stripe"
import { idOf, newId, type World } from "./world.ts"

/** The ways to pay that the simulator knows: at once, or decided by the bank days later. */
export type Method = "card" | "sepa_debit"

const nowhere = { city: null, country: "DE", line1: null, line2: null, postal_code: null, state: null }

const details = (world: World, method: Method): Stripe.Charge.PaymentMethodDetails =>
  method === "card"
    ? {
        type: "card",
        card: {
          amount_authorized: null,
          authorization_code: null,
          brand: "visa",
          checks: { address_line1_check: null, address_postal_code_check: null, cvc_check: "pass" },
          country: "DE",
          electronic_commerce_indicator: null,
          exp_month: 12,
          exp_year: new Date(world.now() * 1000).getUTCFullYear() + 3,
          fingerprint: "simulated",
          funding: "credit",
          installments: null,
          last4: "4242",
          mandate: null,
          network: "visa",
          network_transaction_id: null,
          regulated_status: "unregulated",
          three_d_secure: null,
          transaction_link_id: null,
          wallet: null
        }
      }
    : {
        type: "sepa_debit",
        sepa_debit: {
          bank_code: "37040044",
          branch_code: null,
          country: "DE",
          fingerprint: "simulated",
          last4: "3000",
          mandate: newId("mandate")
        }
      }

const approved: Stripe.Charge.Outcome = {
  advice_code: null,
  network_advice_code: null,
  network_decline_code: null,
  network_status: "approved_by_network",
  reason: null,
  risk_level: "normal",
  risk_score: 20,
  seller_message: "Payment complete.",
  type: "authorized"
}

const declined: Stripe.Charge.Outcome = {
  ...approved,
  network_status: "declined_by_network",
  reason: "generic_decline",
  seller_message: "The bank did not return any further details with this decline.",
  type: "issuer_declined"
}

export const newCharge = (
  world: World,
  intent: Stripe.PaymentIntent,
  method: Method,
  status: "succeeded" | "pending" | "failed"
): Stripe.Charge => {
  const customer = world.state.customers[idOf(intent.customer) ?? ""]
  const charge: Stripe.Charge = {
    id: newId(method === "card" ? "ch" : "py"),
    object: "charge",
    amount: intent.amount,
    amount_captured: status === "failed" ? 0 : intent.amount,
    amount_refunded: 0,
    application: null,
    application_fee: null,
    application_fee_amount: null,
    balance_transaction: null,
    billing_details: {
      address: nowhere,
      email: customer?.email ?? intent.receipt_email,
      name: customer?.name ?? null,
      phone: null,
      tax_id: null
    },
    calculated_statement_descriptor: "SIMULATOR",
    captured: status !== "failed",
    created: world.now(),
    currency: intent.currency,
    customer: intent.customer,
    description: intent.description,
    disputed: false,
    failure_balance_transaction: null,
    failure_code: null,
    failure_message: null,
    fraud_details: {},
    livemode: false,
    metadata: { ...intent.metadata },
    on_behalf_of: null,
    outcome: status === "failed" ? declined : approved,
    paid: status === "succeeded",
    payment_intent: intent.id,
    payment_method: newId("pm"),
    payment_method_details: details(world, method),
    receipt_email: intent.receipt_email,
    receipt_number: null,
    receipt_url: null,
    refunded: false,
    review: null,
    shipping: null,
    source: null,
    source_transfer: null,
    statement_descriptor: null,
    statement_descriptor_suffix: intent.statement_descriptor_suffix,
    status,
    transfer_data: null,
    transfer_group: null
  }
  world.state.charges[charge.id] = charge
  return charge
}

/** Since captures are asynchronous, the balance transaction of a card payment follows the payment. */
export const bookCharge = (world: World, charge: Stripe.Charge) => {
  charge.balance_transaction = newId("txn")
  world.emit("charge.updated", charge, { balance_transaction: null })
}

export const methodOf = (charge: Stripe.Charge): Method =>
  charge.payment_method_details?.type === "sepa_debit" ? "sepa_debit" : "card"
