/** Checkout Sessions in payment mode: making them, letting them expire, following what happens to their payment. */
import type { Stripe } from "stripe"
import { newPrice } from "./customers.ts"
import { invalid } from "./errors.ts"
import type { SessionCreate } from "./params.ts"
import { cancelPaymentIntent, methodsFor, newPaymentIntent } from "./payment-intents.ts"
import { idOf, money, named, newId, type World } from "./world.ts"

const halfHour = 30 * 60
const day = 24 * 60 * 60

const priceOf = (world: World, item: SessionCreate["line_items"][number], param: string): Stripe.Price => {
  if (item.price !== undefined && item.price_data !== undefined) {
    throw invalid("You may only specify one of these parameters: price, price_data.", {
      code: "parameters_exclusive",
      param
    })
  }
  if (item.price !== undefined) return named(world.state.prices, "price", item.price, `${param}[price]`)
  if (item.price_data === undefined) {
    throw invalid(`Missing required param: ${param}[price].`, { code: "parameter_missing", param: `${param}[price]` })
  }
  return newPrice(world, item.price_data, item.price_data.product_data.name)
}

const newLineItem = (world: World, item: SessionCreate["line_items"][number], index: number): Stripe.LineItem => {
  const param = `line_items[${index}]`
  const price = priceOf(world, item, param)
  const quantity = item.quantity ?? 1
  const total = (price.unit_amount ?? 0) * quantity
  return {
    id: newId("li"),
    object: "item",
    adjustable_quantity: null,
    amount_discount: 0,
    amount_subtotal: total,
    amount_tax: 0,
    amount_total: total,
    currency: price.currency,
    description: item.price_data?.product_data.name ?? price.nickname,
    metadata: {},
    price,
    quantity
  }
}

const checkTotal = (total: number, currency: string) => {
  if (total < 50) {
    throw invalid(
      `The Checkout Session's total amount due must add up to at least ${money(50, currency)} ${currency}`,
      {
        code: "amount_too_small"
      }
    )
  }
}

const checkExpiry = (at: number, now: number) => {
  if (at < now + halfHour || at > now + day) {
    throw invalid(
      "The `expires_at` timestamp must be between 30 minutes and 24 hours from Checkout Session creation.",
      {
        param: "expires_at"
      }
    )
  }
}

export const createSession = (world: World, params: SessionCreate): Stripe.Checkout.Session => {
  const now = world.now()
  const lineItems = params.line_items.map((item, index) => newLineItem(world, item, index))
  const currency = lineItems[0]?.currency ?? "eur"
  if (lineItems.some((item) => item.currency !== currency)) {
    throw invalid("All prices on a Checkout session must have the same currency.", { param: "line_items" })
  }
  const total = lineItems.reduce((sum, item) => sum + item.amount_total, 0)
  checkTotal(total, currency)
  if (params.expires_at !== undefined) checkExpiry(params.expires_at, now)
  if (params.customer !== undefined && params.customer_email !== undefined) {
    throw invalid("You may only specify one of these parameters: customer, customer_email.", {
      code: "parameters_exclusive",
      param: "customer"
    })
  }
  const customer = params.customer === undefined ? undefined : named(world.state.customers, "customer", params.customer)
  const id = newId("cs_test", 58)
  const email = customer?.email ?? params.customer_email ?? null
  const session: Stripe.Checkout.Session = {
    id,
    object: "checkout.session",
    adaptive_pricing: { enabled: false },
    after_expiration: null,
    allow_promotion_codes: null,
    allowed_payment_method_types:
      params.allowed_payment_method_types === undefined ? null : [...params.allowed_payment_method_types],
    amount_subtotal: total,
    amount_total: total,
    automatic_tax: { enabled: false, liability: null, provider: null, status: null },
    billing_address_collection: null,
    cancel_url: params.cancel_url ?? null,
    client_reference_id: params.client_reference_id ?? null,
    client_secret: null,
    collected_information: null,
    consent: null,
    consent_collection: null,
    created: now,
    currency,
    currency_conversion: null,
    custom_fields: [],
    custom_text: { after_submit: null, shipping_address: null, submit: null, terms_of_service_acceptance: null },
    customer: customer?.id ?? null,
    customer_account: null,
    customer_creation: customer === undefined ? "if_required" : null,
    customer_details:
      email === null
        ? null
        : {
            address: null,
            business_name: null,
            email,
            individual_name: null,
            name: customer?.name ?? null,
            phone: null,
            tax_exempt: "none",
            tax_ids: null
          },
    customer_email: params.customer_email ?? null,
    discounts: [],
    expires_at: params.expires_at ?? now + day,
    integration_identifier: null,
    invoice: null,
    invoice_creation: null,
    livemode: false,
    locale: params.locale ?? null,
    managed_payments: null,
    metadata: { ...params.metadata },
    mode: "payment",
    origin_context: null,
    // Stripe makes it only when the payer confirms.
    payment_intent: null,
    payment_link: null,
    payment_method_collection: "if_required",
    payment_method_configuration_details: null,
    payment_method_options: { card: { request_three_d_secure: "automatic" } },
    payment_method_types: methodsFor(
      currency,
      params.allowed_payment_method_types,
      params.excluded_payment_method_types
    ),
    payment_status: "unpaid",
    permissions: null,
    phone_number_collection: { enabled: false },
    recovered_from: null,
    saved_payment_method_options: null,
    setup_intent: null,
    shipping_address_collection: null,
    shipping_cost: null,
    shipping_options: [],
    status: "open",
    submit_type: params.submit_type ?? null,
    subscription: null,
    success_url: params.success_url,
    total_details: { amount_discount: 0, amount_shipping: 0, amount_tax: 0 },
    ui_mode: "hosted_page",
    url: `${world.url}/c/pay/${id}`,
    wallet_options: null
  }
  world.state.sessions[id] = session
  world.state.lineItems[id] = lineItems
  world.state.intentData[id] = {
    description: params.payment_intent_data?.description ?? null,
    metadata: { ...params.payment_intent_data?.metadata },
    receipt_email: params.payment_intent_data?.receipt_email ?? null
  }
  return session
}

export const checkOpen = (session: Stripe.Checkout.Session) => {
  if (session.status !== "open") {
    throw invalid(
      `Only Checkout Sessions with a status in ["open"] can be paid. This Checkout Session has a status of ` +
        `\`${session.status}\`.`
    )
  }
}

/** Of the payer's first attempt; later attempts use it again. */
export const intentOf = (world: World, session: Stripe.Checkout.Session): Stripe.PaymentIntent => {
  const earlier = world.state.paymentIntents[idOf(session.payment_intent) ?? ""]
  if (earlier !== undefined) return earlier
  const data = world.state.intentData[session.id]
  const intent = newPaymentIntent(world, {
    amount: session.amount_total ?? 0,
    currency: session.currency ?? "eur",
    customer: session.customer,
    description: data?.description ?? null,
    metadata: { ...data?.metadata },
    receipt_email: data?.receipt_email ?? null,
    automatic_payment_methods: null,
    payment_method_types: [...session.payment_method_types]
  })
  session.payment_intent = intent.id
  return intent
}

export const sessionOf = (world: World, intentId: string) =>
  Object.values(world.state.sessions).find((session) => session.payment_intent === intentId)

/** What the state of its payment means for a session. */
export const follow = (world: World, session: Stripe.Checkout.Session, intent: Stripe.PaymentIntent) => {
  const paid = intent.status === "succeeded"
  if (session.status === "open" && (paid || intent.status === "processing")) {
    session.status = "complete"
    session.payment_status = paid ? "paid" : "unpaid"
    session.url = null
    world.emit("checkout.session.completed", session)
  } else if (session.status === "complete" && session.payment_status === "unpaid") {
    if (paid) {
      session.payment_status = "paid"
      world.emit("checkout.session.async_payment_succeeded", session)
    } else {
      world.emit("checkout.session.async_payment_failed", session)
    }
  }
}

export const expireSession = (world: World, session: Stripe.Checkout.Session): Stripe.Checkout.Session => {
  if (session.status !== "open") {
    throw invalid(
      `Only Checkout Sessions with a status in ["open"] can be expired. This Checkout Session has a status of ` +
        `\`${session.status}\`.`
    )
  }
  session.status = "expired"
  session.url = null
  const intent = world.state.paymentIntents[idOf(session.payment_intent) ?? ""]
  if (intent !== undefined) cancelPaymentIntent(world, intent, "expired")
  world.emit("checkout.session.expired", session)
  return session
}
