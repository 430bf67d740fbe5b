/** Customers and prices: what others refer to. */
import { Stripe } from "stripe"
import { invalid } from "./errors.ts"
import type { CustomerCreate, PriceCreate } from "./params.ts"
import { newId, type World } from "./world.ts"

export const createCustomer = (world: World, params: CustomerCreate): Stripe.Customer => {
  if (params.email !== undefined && !/^[^\s@]+@[^\s@]+$/.test(params.email)) {
    throw invalid(`Invalid email address: ${params.email}`, { code: "email_invalid", param: "email" })
  }
  const customer: Stripe.Customer = {
    id: newId("cus", 14),
    object: "customer",
    address: null,
    balance: 0,
    created: world.now(),
    currency: null,
    customer_account: null,
    default_source: null,
    delinquent: false,
    description: params.description ?? null,
    discount: null,
    email: params.email ?? null,
    invoice_prefix: newId("X", 7).slice(2).toUpperCase(),
    invoice_settings: { custom_fields: null, default_payment_method: null, footer: null, rendering_options: null },
    livemode: false,
    metadata: { ...params.metadata },
    name: params.name ?? null,
    next_invoice_sequence: 1,
    phone: params.phone ?? null,
    preferred_locales: [...(params.preferred_locales ?? [])],
    shipping: null,
    tax_exempt: "none",
    test_clock: null
  }
  world.state.customers[customer.id] = customer
  world.emit("customer.created", customer)
  return customer
}

export const newPrice = (world: World, params: Omit<PriceCreate, "product_data">, name: string): Stripe.Price => ({
  id: newId("price"),
  object: "price",
  active: true,
  billing_scheme: "per_unit",
  created: world.now(),
  currency: params.currency,
  custom_unit_amount: null,
  livemode: false,
  lookup_key: params.lookup_key ?? null,
  metadata: { ...params.metadata },
  // The checkout page shows it; a product of its own would have only this.
  nickname: params.nickname ?? name,
  product: newId("prod", 14),
  recurring: null,
  tax_behavior: "unspecified",
  tiers_mode: null,
  transform_quantity: null,
  type: "one_time",
  unit_amount: params.unit_amount,
  unit_amount_decimal: Stripe.Decimal.from(params.unit_amount)
})

export const createPrice = (world: World, params: PriceCreate): Stripe.Price => {
  if (params.unit_amount < 0) {
    throw invalid("This value must be greater than or equal to 0.", {
      code: "parameter_invalid_integer",
      param: "unit_amount"
    })
  }
  const price = newPrice(world, params, params.product_data.name)
  world.state.prices[price.id] = price
  world.emit("price.created", price)
  return price
}
