import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { Stripe } from "stripe"
import { ask, checkout, purchase, refused, simulated } from "./support.ts"

/** A call as somebody without the library makes it. */
const raw = (url: string, init: RequestInit = {}) =>
  Effect.promise(async () => {
    const response = await fetch(url, init)
    const body: unknown = await response.json()
    return { status: response.status, headers: response.headers, body }
  })

const form = { "content-type": "application/x-www-form-urlencoded" }

describe("who may call", () => {
  it.live("is whoever has the key", () =>
    Effect.gen(function* () {
      const { simulator } = yield* simulated()
      const url = `${simulator.url}/v1/customers`
      expect(yield* raw(url)).toMatchObject({ status: 401, body: { error: { type: "invalid_request_error" } } })
      const stranger = new Stripe("sk_test_somebody_else", { ...simulator.connection, maxNetworkRetries: 0 })
      expect(yield* refused(() => stripe(stranger))).toMatchObject({ type: "StripeAuthenticationError", status: 401 })
      const basic = `Basic ${Buffer.from(`${simulator.apiKey}:`).toString("base64")}`
      expect(yield* raw(url, { headers: { authorization: basic } })).toMatchObject({
        status: 200,
        body: { object: "list", data: [], has_more: false, url: "/v1/customers" }
      })
    })
  )

  it.live("speaks our version of the API", () =>
    Effect.gen(function* () {
      const { simulator, stripe: client } = yield* simulated()
      const answer = yield* ask(() => client.customers.create({}))
      expect(answer.lastResponse.apiVersion).toBe(Stripe.API_VERSION)
      expect(answer.lastResponse.requestId).toMatch(/^req_\w{14}$/)
      expect(yield* refused(() => client.customers.create({}, { apiVersion: "2019-01-01" }))).toMatchObject({
        status: 400
      })
      expect((yield* simulator.events)[0]?.api_version).toBe(Stripe.API_VERSION)
    })
  )
})

const stripe = (client: Stripe) => client.customers.create({})

describe("parameters", () => {
  it.live("are refused in Stripe's words", () =>
    Effect.gen(function* () {
      const { simulator, stripe: client } = yield* simulated()
      const authorization = `Bearer ${simulator.apiKey}`
      const post = (path: string, body: string) =>
        Effect.map(
          raw(`${simulator.url}/v1/${path}`, { method: "POST", headers: { ...form, authorization }, body }),
          ({ status, body: answer }) => ({ status, answer })
        )
      const error = (particulars: object) => ({
        status: 400,
        answer: { error: { type: "invalid_request_error", ...particulars } }
      })
      expect(yield* post("payment_intents", "amount=1000")).toEqual(
        error({ code: "parameter_missing", param: "currency", message: "Missing required param: currency." })
      )
      expect(yield* post("payment_intents", "amount=1000&currency=eur&colour=red")).toEqual(
        error({ code: "parameter_unknown", param: "colour", message: "Received unknown parameter: colour" })
      )
      expect(yield* post("payment_intents", "amount=10.5&currency=eur")).toEqual(
        error({ code: "parameter_invalid_integer", param: "amount", message: "Invalid integer: 10.5" })
      )
      expect(yield* post("payment_intents", "amount=49&currency=eur")).toEqual(
        error({ code: "amount_too_small", param: "amount", message: "Amount must be at least €0.50 eur" })
      )
      expect(yield* post("payment_intents", "amount=100000000&currency=eur")).toMatchObject(
        error({ code: "amount_too_large", param: "amount" })
      )
      expect(yield* post("payment_intents", "amount=-5&currency=eur")).toMatchObject(
        error({ code: "parameter_invalid_integer", param: "amount" })
      )
      expect(yield* post("payment_intents", "amount=1000&currency=doubloons")).toMatchObject(
        error({ param: "currency" })
      )
      expect(yield* post("payment_intents", "amount=1000&currency=EUR")).toMatchObject({
        status: 200,
        answer: { currency: "eur" }
      })
      expect(yield* post("payment_intents", "amount=1000&currency=eur&customer=cus_nobody")).toEqual(
        error({ code: "resource_missing", param: "customer", message: "No such customer: 'cus_nobody'" })
      )
      expect(
        yield* post("payment_intents", `amount=1000&currency=eur&metadata[note]=${"x".repeat(501)}`)
      ).toMatchObject(error({ param: "metadata" }))
      // Gone with the version of the API that the library speaks.
      expect(yield* post("payment_intents", "amount=1000&currency=eur&payment_method_types[]=card")).toMatchObject(
        error({ code: "payment_method_types_no_longer_supported", param: "payment_method_types" })
      )
      expect(
        yield* post("checkout/sessions", "mode=payment&line_items[0][price_data][colour]=red&success_url=https://x.de")
      ).toMatchObject(error({ code: "parameter_unknown", param: "line_items[0][price_data][colour]" }))
      expect(
        yield* refused(() => client.checkout.sessions.create({ ...checkout, success_url: "app://done" }))
      ).toMatchObject({ code: "url_invalid", param: "success_url" })
      expect(
        yield* refused(() => client.checkout.sessions.create({ ...checkout, line_items: [{ price: "price_none" }] }))
      ).toMatchObject({ code: "resource_missing", param: "line_items[0][price]" })
      expect(yield* simulator.paymentIntents).toHaveLength(1)
    })
  )

  it.live("name objects that are there, at paths that are there", () =>
    Effect.gen(function* () {
      const { simulator, stripe: client } = yield* simulated()
      const missing = { type: "StripeInvalidRequestError", status: 404, code: "resource_missing" }
      expect(yield* refused(() => client.customers.retrieve("cus_none"))).toMatchObject(missing)
      expect(yield* refused(() => client.paymentIntents.retrieve("pi_none"))).toMatchObject(missing)
      expect(yield* refused(() => client.checkout.sessions.expire("cs_none"))).toMatchObject(missing)
      expect(yield* refused(() => client.refunds.retrieve("re_none"))).toMatchObject(missing)
      expect(yield* refused(() => client.disputes.retrieve("du_none"))).toMatchObject(missing)
      expect(yield* refused(() => client.events.retrieve("evt_none"))).toMatchObject(missing)
      expect(yield* refused(() => client.payouts.list())).toMatchObject({ status: 404 })
      expect((yield* Effect.promise(() => fetch(`${simulator.url}/elsewhere`))).status).toBe(404)
    })
  )
})

describe("lists", () => {
  it.live("go page by page, newest first", () =>
    Effect.gen(function* () {
      const { stripe: client } = yield* simulated()
      const made: Array<string> = []
      for (let n = 0; n < 7; n++) made.unshift((yield* ask(() => client.customers.create({ name: `c${n}` }))).id)
      const first = yield* ask(() => client.customers.list({ limit: 3 }))
      expect(first).toMatchObject({ has_more: true, data: made.slice(0, 3).map((id) => ({ id })) })
      const second = yield* ask(() => client.customers.list({ limit: 4, starting_after: made[2] ?? "" }))
      expect(second).toMatchObject({ has_more: false, data: made.slice(3).map((id) => ({ id })) })
      const back = yield* ask(() => client.customers.list({ limit: 2, ending_before: made[4] ?? "" }))
      expect(back).toMatchObject({ has_more: true, data: made.slice(2, 4).map((id) => ({ id })) })
      const all = yield* Effect.promise(() => client.customers.list({ limit: 2 }).autoPagingToArray({ limit: 100 }))
      expect(all.map(({ id }) => id)).toEqual(made)
      expect(yield* refused(() => client.customers.list({ limit: 101 }))).toMatchObject({ param: "limit" })
      expect(yield* refused(() => client.customers.list({ starting_after: "cus_none" }))).toMatchObject({
        code: "resource_missing",
        param: "starting_after"
      })
    })
  )

  it.live("of events go by type and time", () =>
    Effect.gen(function* () {
      let now = Date.parse("2026-03-01T12:00:00Z")
      const { simulator, stripe: client } = yield* simulated({ now: () => now })
      const old = yield* ask(() => client.paymentIntents.create(purchase))
      now += 60_000
      const middle = Math.floor(now / 1000)
      yield* simulator.pay(old.id)
      now += 60_000
      yield* ask(() => client.paymentIntents.create(purchase))
      const types = (given: Stripe.EventListParams) =>
        Effect.map(
          ask(() => client.events.list(given)),
          ({ data }) => data.map(({ type }) => type)
        )
      expect(yield* types({ created: { gte: middle, lt: middle + 60 } })).toEqual([
        "charge.updated",
        "payment_intent.succeeded",
        "charge.succeeded"
      ])
      expect(yield* types({ created: { gt: middle } })).toEqual(["payment_intent.created"])
      expect(yield* types({ created: middle, type: "charge.*" })).toEqual(["charge.updated", "charge.succeeded"])
      expect(yield* types({ types: ["payment_intent.created", "payment_intent.succeeded"] })).toEqual([
        "payment_intent.created",
        "payment_intent.succeeded",
        "payment_intent.created"
      ])
      const [event] = (yield* ask(() => client.events.list({ type: "payment_intent.succeeded" }))).data
      expect(event).toMatchObject({ object: "event", livemode: false, api_version: Stripe.API_VERSION })
      expect(event?.data.object).toMatchObject({ id: old.id, status: "succeeded" })
      expect((yield* ask(() => client.events.retrieve(event?.id ?? ""))).id).toBe(event?.id)
      // Stripe shows the last thirty days.
      now += 31 * 24 * 60 * 60 * 1000
      expect(yield* types({})).toEqual([])
    })
  )
})

describe("expand", () => {
  it.live("shows objects where their ids are", () =>
    Effect.gen(function* () {
      const { simulator, stripe: client } = yield* simulated()
      const customer = yield* ask(() => client.customers.create({ email: "anna@example.org" }))
      const session = yield* ask(() => client.checkout.sessions.create({ ...checkout, customer: customer.id }))
      yield* simulator.pay(session.id)
      const shown = yield* ask(() =>
        client.checkout.sessions.retrieve(session.id, {
          expand: ["payment_intent.latest_charge", "payment_intent.customer", "line_items"]
        })
      )
      expect(shown).toMatchObject({
        customer: customer.id,
        customer_details: { email: "anna@example.org" },
        payment_intent: {
          latest_charge: { object: "charge", billing_details: { email: "anna@example.org" } },
          customer: { id: customer.id }
        },
        line_items: { object: "list", data: [{ description: "1,000 credits", amount_total: 1000 }] }
      })
      const listed = yield* ask(() => client.paymentIntents.list({ expand: ["data.latest_charge"] }))
      expect(listed.data[0]?.latest_charge).toMatchObject({ object: "charge" })
      // What was shown isn't what is stored.
      expect((yield* ask(() => client.checkout.sessions.retrieve(session.id))).payment_intent).toMatch(/^pi_/)
      expect(
        yield* refused(() => client.checkout.sessions.retrieve(session.id, { expand: ["surprise"] }))
      ).toMatchObject({ status: 400, param: "expand" })
    })
  )
})
