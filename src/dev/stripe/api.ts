/** The endpoints of Stripe's API that we simulate: method, path, parameters, and the step of the world behind each. */
import type { Schema } from "effect"
import { createSession, expireSession } from "./checkout-sessions.ts"
import { createCustomer, createPrice } from "./customers.ts"
import { closeDispute } from "./disputes.ts"
import { invalid } from "./errors.ts"
import type { Form } from "./form.ts"
import { matches, page, within } from "./lists.ts"
import * as params from "./params.ts"
import { createPaymentIntent } from "./payment-intents.ts"
import { cancel } from "./payments.ts"
import { createRefund } from "./refunds.ts"
import { found, type World } from "./world.ts"

export interface Endpoint {
  readonly method: "GET" | "POST"
  readonly path: RegExp
  /** Decodes the parameters, or throws Stripe's error for them; what it gives back does the work. */
  readonly prepare: (form: Form, id: string) => (world: World) => unknown
}

const endpoint = <A>(
  method: Endpoint["method"],
  /** `:id` stands for the object. */
  path: string,
  schema: Schema.Decoder<A>,
  work: (world: World, given: A, id: string) => unknown
): Endpoint => ({
  method,
  path: new RegExp(`^/v1/${path.replace(":id", "([A-Za-z0-9_]+)")}$`),
  prepare: (form, id) => {
    const given = params.decodeParams(schema, form)
    return (world) => work(world, given, id)
  }
})

// Gone since the API version that the library asks for; the real one says so in these words.
const withoutMethodTypes = (it: Endpoint): Endpoint => ({
  ...it,
  prepare: (form, id) => {
    if ("payment_method_types" in form) {
      throw invalid(
        "The `payment_method_types` parameter is no longer supported on this API version. Use dynamic payment methods, " +
          "`allowed_payment_method_types` or `excluded_payment_method_types` instead.",
        { code: "payment_method_types_no_longer_supported", param: "payment_method_types" }
      )
    }
    return it.prepare(form, id)
  }
})

const month = 30 * 24 * 60 * 60

/** `charge.*` stands for a group. */
const isOfType = (wanted: string | undefined, type: string) =>
  wanted === undefined || wanted === type || (wanted.endsWith("*") && type.startsWith(wanted.slice(0, -1)))

export const endpoints: ReadonlyArray<Endpoint> = [
  endpoint("POST", "customers", params.CustomerCreate, createCustomer),
  endpoint("GET", "customers/:id", params.Nothing, ({ state }, _, id) => found(state.customers, "customer", id)),
  endpoint("GET", "customers", params.CustomerList, ({ state }, given) =>
    page(
      Object.values(state.customers),
      given,
      "/v1/customers",
      (it) => within(given.created, it.created) && matches(given.email, it.email)
    )
  ),

  endpoint("POST", "prices", params.PriceCreate, createPrice),
  endpoint("GET", "prices/:id", params.Nothing, ({ state }, _, id) => found(state.prices, "price", id)),

  withoutMethodTypes(endpoint("POST", "payment_intents", params.PaymentIntentCreate, createPaymentIntent)),
  endpoint("GET", "payment_intents/:id", params.Nothing, ({ state }, _, id) =>
    found(state.paymentIntents, "payment_intent", id, "intent")
  ),
  endpoint("GET", "payment_intents", params.PaymentIntentList, ({ state }, given) =>
    page(
      Object.values(state.paymentIntents),
      given,
      "/v1/payment_intents",
      (it) => within(given.created, it.created) && matches(given.customer, it.customer)
    )
  ),
  endpoint("POST", "payment_intents/:id/cancel", params.PaymentIntentCancel, (world, given, id) =>
    cancel(world, id, given.cancellation_reason)
  ),

  endpoint("POST", "checkout/sessions", params.SessionCreate, createSession),
  endpoint("GET", "checkout/sessions/:id", params.Nothing, ({ state }, _, id) =>
    found(state.sessions, "checkout.session", id, "session")
  ),
  endpoint("GET", "checkout/sessions", params.SessionList, ({ state }, given) =>
    page(
      Object.values(state.sessions),
      given,
      "/v1/checkout/sessions",
      (it) =>
        within(given.created, it.created) &&
        matches(given.customer, it.customer) &&
        matches(given.payment_intent, it.payment_intent) &&
        matches(given.status, it.status)
    )
  ),
  endpoint("POST", "checkout/sessions/:id/expire", params.Nothing, (world, _, id) =>
    expireSession(world, found(world.state.sessions, "checkout.session", id, "session"))
  ),
  endpoint("GET", "checkout/sessions/:id/line_items", params.ListPage, ({ state }, given, id) =>
    page(
      found(state.lineItems, "checkout.session", id, "session").toReversed(),
      given,
      `/v1/checkout/sessions/${id}/line_items`
    )
  ),

  endpoint("GET", "charges/:id", params.Nothing, ({ state }, _, id) => found(state.charges, "charge", id)),
  endpoint("GET", "charges", params.ChargeList, ({ state }, given) =>
    page(
      Object.values(state.charges),
      given,
      "/v1/charges",
      (it) => within(given.created, it.created) && matches(given.payment_intent, it.payment_intent)
    )
  ),

  endpoint("POST", "refunds", params.RefundCreate, createRefund),
  endpoint("GET", "refunds/:id", params.Nothing, ({ state }, _, id) => found(state.refunds, "refund", id)),
  endpoint("GET", "refunds", params.PaymentList, ({ state }, given) =>
    page(
      Object.values(state.refunds),
      given,
      "/v1/refunds",
      (it) =>
        within(given.created, it.created) &&
        matches(given.payment_intent, it.payment_intent) &&
        matches(given.charge, it.charge)
    )
  ),

  endpoint("GET", "disputes/:id", params.Nothing, ({ state }, _, id) =>
    found(state.disputes, "dispute", id, "dispute")
  ),
  endpoint("GET", "disputes", params.PaymentList, ({ state }, given) =>
    page(
      Object.values(state.disputes),
      given,
      "/v1/disputes",
      (it) =>
        within(given.created, it.created) &&
        matches(given.payment_intent, it.payment_intent) &&
        matches(given.charge, it.charge)
    )
  ),
  // Giving in: the dispute is lost.
  endpoint("POST", "disputes/:id/close", params.Nothing, (world, _, id) => closeDispute(world, id, "lost")),

  endpoint("GET", "events/:id", params.Nothing, ({ state }, _, id) => found(state.events, "event", id)),
  endpoint("GET", "events", params.EventList, (world, given) => {
    if (given.type !== undefined && given.types !== undefined) {
      throw invalid("You may only specify one of these parameters: type, types.", {
        code: "parameters_exclusive",
        param: "type"
      })
    }
    return page(
      Object.values(world.state.events),
      given,
      "/v1/events",
      (it) =>
        it.created > world.now() - month &&
        within(given.created, it.created) &&
        isOfType(given.type, it.type) &&
        (given.types?.some((type) => isOfType(type, it.type)) ?? true) &&
        (given.delivery_success === undefined || given.delivery_success === (it.pending_webhooks === 0))
    )
  })
]
