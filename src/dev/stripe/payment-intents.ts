/** PaymentIntents: making them, and the transitions that Stripe allows. */
import type { Stripe } from "stripe"
import { bookCharge, type Method, newCharge } from "./charges.ts"
import { invalid, unexpectedState } from "./errors.ts"
import type { PaymentIntentCreate } from "./params.ts"
import { idOf, money, named, newId, type World } from "./world.ts"

// Stripe's own bounds for euros: 50 cents, and eight digits.
const least = 50
const most = 99_999_999

export const checkAmount = (amount: number, currency: string) => {
  if (amount < 1) {
    throw invalid("This value must be greater than or equal to 1.", {
      code: "parameter_invalid_integer",
      param: "amount"
    })
  }
  if (amount < least) {
    throw invalid(`Amount must be at least ${money(least, currency)} ${currency}`, {
      code: "amount_too_small",
      param: "amount"
    })
  }
  if (amount > most) {
    throw invalid(`Amount must be no more than ${money(most, currency)} ${currency}`, {
      code: "amount_too_large",
      param: "amount"
    })
  }
}

/** What can be paid with: cards, and direct debits in euros, less what the caller doesn't want. */
export const methodsFor = (
  currency: string,
  allowed: ReadonlyArray<string> | undefined,
  excluded: ReadonlyArray<string> | undefined
) => {
  const methods = (currency === "eur" ? ["card", "sepa_debit"] : ["card"]).filter(
    (method) => (allowed?.includes(method) ?? true) && !(excluded?.includes(method) ?? false)
  )
  if (methods.length === 0) {
    throw invalid(
      "No valid payment method types for this Payment Intent. Please ensure that you have activated payment methods " +
        "compatible with your chosen currency and amount."
    )
  }
  return methods
}

type Fields = Pick<PaymentIntentCreate, "amount" | "currency"> &
  Pick<
    Stripe.PaymentIntent,
    "customer" | "description" | "metadata" | "receipt_email" | "payment_method_types" | "automatic_payment_methods"
  > &
  Partial<
    Pick<
      Stripe.PaymentIntent,
      "allowed_payment_method_types" | "excluded_payment_method_types" | "statement_descriptor_suffix"
    >
  >

export const newPaymentIntent = (world: World, fields: Fields): Stripe.PaymentIntent => {
  const id = newId("pi")
  const intent: Stripe.PaymentIntent = {
    id,
    object: "payment_intent",
    allowed_payment_method_types: null,
    amount_capturable: 0,
    amount_details: { tip: {} },
    amount_received: 0,
    application: null,
    application_fee_amount: null,
    canceled_at: null,
    cancellation_reason: null,
    capture_method: "automatic_async",
    client_secret: `${id}_${newId("secret", 25)}`,
    confirmation_method: "automatic",
    created: world.now(),
    customer_account: null,
    excluded_payment_method_types: null,
    last_payment_error: null,
    latest_charge: null,
    livemode: false,
    managed_payments: null,
    next_action: null,
    on_behalf_of: null,
    payment_method: null,
    payment_method_configuration_details: null,
    payment_method_options: {
      ...(fields.payment_method_types.includes("card")
        ? {
            card: {
              installments: null,
              mandate_options: null,
              network: null,
              request_three_d_secure: "automatic"
            }
          }
        : {}),
      ...(fields.payment_method_types.includes("sepa_debit") ? { sepa_debit: {} } : {})
    },
    payment_record: null,
    processing: null,
    review: null,
    setup_future_usage: null,
    shipping: null,
    source: null,
    statement_descriptor: null,
    statement_descriptor_suffix: null,
    status: "requires_payment_method",
    transfer_data: null,
    transfer_group: null,
    ...fields
  }
  world.state.paymentIntents[id] = intent
  world.emit("payment_intent.created", intent)
  return intent
}

export const createPaymentIntent = (world: World, params: PaymentIntentCreate): Stripe.PaymentIntent => {
  const { amount, currency, automatic_payment_methods: automatic } = params
  checkAmount(amount, currency)
  if (params.customer !== undefined) named(world.state.customers, "customer", params.customer)
  return newPaymentIntent(world, {
    amount,
    currency,
    customer: params.customer ?? null,
    description: params.description ?? null,
    metadata: { ...params.metadata },
    receipt_email: params.receipt_email ?? null,
    statement_descriptor_suffix: params.statement_descriptor_suffix ?? null,
    automatic_payment_methods: {
      enabled: automatic?.enabled ?? true,
      allow_redirects: automatic?.allow_redirects ?? "always"
    },
    allowed_payment_method_types:
      params.allowed_payment_method_types === undefined ? null : [...params.allowed_payment_method_types],
    excluded_payment_method_types:
      params.excluded_payment_method_types === undefined ? null : [...params.excluded_payment_method_types],
    payment_method_types: methodsFor(
      currency,
      params.allowed_payment_method_types,
      params.excluded_payment_method_types
    )
  })
}

const cancelable = ["requires_payment_method", "requires_capture", "requires_confirmation", "requires_action"]

export const cancelPaymentIntent = (
  world: World,
  intent: Stripe.PaymentIntent,
  reason: Stripe.PaymentIntent.CancellationReason | undefined
): Stripe.PaymentIntent => {
  if (!cancelable.includes(intent.status)) {
    throw unexpectedState(
      `You cannot cancel this PaymentIntent because it has a status of ${intent.status}. Only a PaymentIntent with ` +
        `one of the following statuses may be canceled: ${cancelable.join(", ")}, processing.`
    )
  }
  intent.status = "canceled"
  intent.canceled_at = world.now()
  intent.cancellation_reason = reason ?? null
  world.emit("payment_intent.canceled", intent)
  return intent
}

export const checkPayable = (intent: Stripe.PaymentIntent) => {
  if (intent.status !== "requires_payment_method") {
    throw unexpectedState(
      `You cannot confirm this PaymentIntent because it has a status of ${intent.status}. ` +
        "Only a PaymentIntent that requires a payment method can be paid."
    )
  }
}

export const checkMethod = (methods: ReadonlyArray<string>, method: Method) => {
  if (!methods.includes(method)) {
    throw invalid(`The PaymentMethod type ${method} is not allowed for this payment: it takes ${methods.join(", ")}.`, {
      code: "payment_intent_incompatible_payment_method"
    })
  }
}

const succeed = (world: World, intent: Stripe.PaymentIntent, charge: Stripe.Charge) => {
  intent.status = "succeeded"
  intent.amount_received = intent.amount
  intent.last_payment_error = null
  intent.latest_charge = charge.id
  intent.payment_method = charge.payment_method
  world.emit("charge.succeeded", charge)
  world.emit("payment_intent.succeeded", intent)
}

/** `complete` is what else happens on success, before the money's entry in the books follows. */
export const payByCard = (world: World, intent: Stripe.PaymentIntent, complete: () => void) => {
  const charge = newCharge(world, intent, "card", "succeeded")
  succeed(world, intent, charge)
  complete()
  bookCharge(world, charge)
}

/** The bank has the mandate; its answer comes with `decideDebit`. */
export const beginDebit = (world: World, intent: Stripe.PaymentIntent) => {
  const charge = newCharge(world, intent, "sepa_debit", "pending")
  charge.balance_transaction = newId("txn")
  intent.status = "processing"
  intent.last_payment_error = null
  intent.latest_charge = charge.id
  intent.payment_method = charge.payment_method
  world.emit("charge.pending", charge)
  world.emit("payment_intent.processing", intent)
}

const fail = (
  world: World,
  intent: Stripe.PaymentIntent,
  charge: Stripe.Charge,
  error: Stripe.PaymentIntent.LastPaymentError
) => {
  intent.status = "requires_payment_method"
  intent.latest_charge = charge.id
  intent.payment_method = null
  intent.last_payment_error = {
    ...error,
    charge: charge.id,
    doc_url: `https://docs.stripe.com/error-codes/${(error.code ?? "").replaceAll("_", "-")}`
  }
  charge.failure_code = error.code ?? null
  charge.failure_message = error.message ?? null
  world.emit("charge.failed", charge)
  world.emit("payment_intent.payment_failed", intent)
}

export const decline = (world: World, intent: Stripe.PaymentIntent, method: Method) => {
  const charge = newCharge(world, intent, method, "failed")
  fail(
    world,
    intent,
    charge,
    method === "card"
      ? {
          type: "card_error",
          code: "card_declined",
          decline_code: "generic_decline",
          message: "Your card was declined."
        }
      : {
          type: "invalid_request_error",
          code: "sepa_unsupported_account",
          message: "Your account does not support SEPA Direct Debit."
        }
  )
}

export const decideDebit = (world: World, intent: Stripe.PaymentIntent, outcome: "succeeded" | "failed") => {
  const charge = world.state.charges[idOf(intent.latest_charge) ?? ""]
  if (intent.status !== "processing" || charge === undefined) {
    throw unexpectedState(`No direct debit is under way: the PaymentIntent has a status of ${intent.status}.`)
  }
  delete world.state.decisions[intent.id]
  if (outcome === "succeeded") {
    charge.status = "succeeded"
    charge.paid = true
    succeed(world, intent, charge)
  } else {
    charge.status = "failed"
    charge.failure_balance_transaction = newId("txn")
    fail(world, intent, charge, {
      type: "invalid_request_error",
      code: "insufficient_funds",
      message: "The customer's account has insufficient funds to cover this payment."
    })
  }
}
