import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import type { StripeSimulator } from "../../../src/dev/stripe/simulator.ts"
import { ask, checkout, purchase, refused, simulated } from "./support.ts"

/** The types of event since the last time it was asked. */
const watching = (simulator: StripeSimulator) => {
  let seen = 0
  return Effect.map(simulator.events, (events) => {
    const fresh = events.slice(seen).map(({ type }) => type)
    seen = events.length
    return fresh
  })
}

describe("a PaymentIntent", () => {
  it.live("is paid by card at once", () =>
    Effect.gen(function* () {
      const { simulator, stripe } = yield* simulated()
      const news = watching(simulator)
      const intent = yield* ask(() => stripe.paymentIntents.create(purchase))
      expect(intent).toMatchObject({
        status: "requires_payment_method",
        amount: 1000,
        currency: "eur",
        livemode: false
      })
      expect(intent.id).toMatch(/^pi_\w{24}$/)
      expect(intent.client_secret).toMatch(new RegExp(`^${intent.id}_secret_\\w{25}$`))
      expect(yield* news).toEqual(["payment_intent.created"])

      yield* simulator.pay(intent.client_secret ?? "")
      const paid = yield* ask(() => stripe.paymentIntents.retrieve(intent.id, { expand: ["latest_charge"] }))
      expect(paid).toMatchObject({
        status: "succeeded",
        amount_received: 1000,
        metadata: { purchase_id: "p1" },
        latest_charge: { status: "succeeded", amount: 1000, paid: true, payment_intent: intent.id }
      })
      expect(yield* news).toEqual(["charge.succeeded", "payment_intent.succeeded", "charge.updated"])
    })
  )

  it.live("may be declined and paid with another attempt", () =>
    Effect.gen(function* () {
      const { simulator, stripe } = yield* simulated()
      const { id } = yield* ask(() => stripe.paymentIntents.create(purchase))
      const news = watching(simulator)
      yield* news
      expect(yield* simulator.decline(id)).toMatchObject({
        status: "requires_payment_method",
        last_payment_error: { code: "card_declined", decline_code: "generic_decline" }
      })
      expect(yield* news).toEqual(["charge.failed", "payment_intent.payment_failed"])
      expect(yield* simulator.pay(id)).toMatchObject({ status: "succeeded", last_payment_error: null })
      const charges = yield* ask(() => stripe.charges.list({ payment_intent: id }))
      expect(charges.data.map(({ status }) => status)).toEqual(["succeeded", "failed"])
    })
  )

  it.live("is with the bank until it decides on a direct debit", () =>
    Effect.gen(function* () {
      const { simulator, stripe } = yield* simulated()
      const { id } = yield* ask(() => stripe.paymentIntents.create(purchase))
      const news = watching(simulator)
      yield* news
      expect(yield* simulator.pay(id, { method: "sepa_debit" })).toMatchObject({
        status: "processing",
        amount_received: 0
      })
      expect(yield* news).toEqual(["charge.pending", "payment_intent.processing"])
      expect(yield* simulator.decideDebit(id, "failed")).toMatchObject({
        status: "requires_payment_method",
        last_payment_error: { code: "insufficient_funds" }
      })
      expect(yield* news).toEqual(["charge.failed", "payment_intent.payment_failed"])
      yield* simulator.pay(id, { method: "sepa_debit" })
      yield* news
      expect(yield* simulator.decideDebit(id, "succeeded")).toMatchObject({
        status: "succeeded",
        amount_received: 1000
      })
      expect(yield* news).toEqual(["charge.succeeded", "payment_intent.succeeded"])
    })
  )

  it.live("lets the bank decide by itself when asked to", () =>
    Effect.gen(function* () {
      let now = Date.now()
      const { simulator, stripe } = yield* simulated({ debitDecidedAfter: "5 days", now: () => now })
      const good = yield* ask(() => stripe.paymentIntents.create(purchase))
      const bad = yield* ask(() => stripe.paymentIntents.create(purchase))
      yield* simulator.pay(good.id, { method: "sepa_debit" })
      yield* simulator.pay(bad.id, { method: "sepa_debit", bounces: true })
      const states = Effect.all([good, bad].map(({ id }) => ask(() => stripe.paymentIntents.retrieve(id)))).pipe(
        Effect.map((intents) => intents.map(({ status }) => status))
      )
      expect(yield* states).toEqual(["processing", "processing"])
      now += 5 * 24 * 60 * 60 * 1000 + 1000
      expect(yield* states).toEqual(["succeeded", "requires_payment_method"])
    })
  )

  it.live("keeps to the transitions that Stripe allows", () =>
    Effect.gen(function* () {
      const { simulator, stripe } = yield* simulated()
      const wrongState = {
        type: "StripeInvalidRequestError",
        status: 400,
        code: "payment_intent_unexpected_state",
        param: undefined
      }
      const cancelled = yield* ask(() => stripe.paymentIntents.create(purchase))
      expect(
        yield* ask(() => stripe.paymentIntents.cancel(cancelled.id, { cancellation_reason: "abandoned" }))
      ).toMatchObject({ status: "canceled", cancellation_reason: "abandoned" })
      expect(yield* refused(() => stripe.paymentIntents.cancel(cancelled.id))).toEqual(wrongState)
      expect(yield* Effect.flip(simulator.pay(cancelled.id))).toMatchObject({ code: wrongState.code })

      const paid = yield* ask(() => stripe.paymentIntents.create(purchase))
      yield* simulator.pay(paid.id)
      expect(yield* refused(() => stripe.paymentIntents.cancel(paid.id))).toEqual(wrongState)
      expect(yield* Effect.flip(simulator.pay(paid.id))).toMatchObject({ code: wrongState.code })
      expect(yield* Effect.flip(simulator.decline(paid.id))).toMatchObject({ code: wrongState.code })
      expect(yield* Effect.flip(simulator.decideDebit(paid.id, "failed"))).toMatchObject({ code: wrongState.code })
    })
  )

  it.live("takes only what it was made for", () =>
    Effect.gen(function* () {
      const { simulator, stripe } = yield* simulated()
      const cardOnly = yield* ask(() =>
        stripe.paymentIntents.create({ ...purchase, excluded_payment_method_types: ["sepa_debit"] })
      )
      expect(cardOnly.payment_method_types).toEqual(["card"])
      expect(yield* Effect.flip(simulator.pay(cardOnly.id, { method: "sepa_debit" }))).toMatchObject({
        code: "payment_intent_incompatible_payment_method"
      })
      const dollars = yield* ask(() => stripe.paymentIntents.create({ ...purchase, currency: "usd" }))
      expect(dollars.payment_method_types).toEqual(["card"])
      expect(
        yield* refused(() =>
          stripe.paymentIntents.create({ ...purchase, currency: "usd", allowed_payment_method_types: ["sepa_debit"] })
        )
      ).toMatchObject({ status: 400 })
    })
  )
})

describe("a Checkout Session", () => {
  it.live("makes its PaymentIntent when the payer confirms", () =>
    Effect.gen(function* () {
      const { simulator, stripe } = yield* simulated()
      const news = watching(simulator)
      const session = yield* ask(() => stripe.checkout.sessions.create(checkout))
      expect(session.id).toMatch(/^cs_test_\w{58}$/)
      expect(session).toMatchObject({
        status: "open",
        payment_status: "unpaid",
        payment_intent: null,
        amount_total: 1000
      })
      expect(session.url).toBe(`${simulator.url}/c/pay/${session.id}`)
      expect(yield* news).toEqual([])

      yield* simulator.decline(session.id)
      expect(yield* news).toEqual(["payment_intent.created", "charge.failed", "payment_intent.payment_failed"])
      const intent = yield* simulator.pay(session.id)
      expect(yield* news).toEqual([
        "charge.succeeded",
        "payment_intent.succeeded",
        "checkout.session.completed",
        "charge.updated"
      ])
      expect(intent.metadata).toEqual({ purchase_id: "p1" })
      const paid = yield* ask(() => stripe.checkout.sessions.retrieve(session.id, { expand: ["payment_intent"] }))
      expect(paid).toMatchObject({
        status: "complete",
        payment_status: "paid",
        url: null,
        payment_intent: { id: intent.id, status: "succeeded" }
      })
      expect(yield* simulator.paymentIntents).toHaveLength(1)
      expect(yield* Effect.flip(simulator.pay(session.id))).toMatchObject({ status: 400 })
    })
  )

  it.live("completes unpaid with a direct debit and hears from the bank later", () =>
    Effect.gen(function* () {
      const { simulator, stripe } = yield* simulated()
      for (const outcome of ["succeeded", "failed"] as const) {
        const session = yield* ask(() => stripe.checkout.sessions.create(checkout))
        const news = watching(simulator)
        yield* news
        yield* simulator.pay(session.id, { method: "sepa_debit" })
        expect(yield* news).toEqual([
          "payment_intent.created",
          "charge.pending",
          "payment_intent.processing",
          "checkout.session.completed"
        ])
        const waiting = yield* ask(() => stripe.checkout.sessions.retrieve(session.id))
        expect(waiting).toMatchObject({ status: "complete", payment_status: "unpaid" })
        yield* simulator.decideDebit(session.id, outcome)
        expect(yield* news).toEqual(
          outcome === "succeeded"
            ? ["charge.succeeded", "payment_intent.succeeded", "checkout.session.async_payment_succeeded"]
            : ["charge.failed", "payment_intent.payment_failed", "checkout.session.async_payment_failed"]
        )
        const decided = yield* ask(() => stripe.checkout.sessions.retrieve(session.id))
        expect(decided.payment_status).toBe(outcome === "succeeded" ? "paid" : "unpaid")
      }
    })
  )

  it.live("expires on request and with time", () =>
    Effect.gen(function* () {
      let now = Date.now()
      const { simulator, stripe } = yield* simulated({ now: () => now })
      const asked = yield* ask(() => stripe.checkout.sessions.create(checkout))
      yield* simulator.decline(asked.id)
      const news = watching(simulator)
      yield* news
      const expired = yield* ask(() => stripe.checkout.sessions.expire(asked.id))
      expect(expired).toMatchObject({ status: "expired", url: null })
      expect(yield* news).toEqual(["payment_intent.canceled", "checkout.session.expired"])
      expect(yield* refused(() => stripe.checkout.sessions.expire(asked.id))).toMatchObject({ status: 400 })

      const left = yield* ask(() => stripe.checkout.sessions.create(checkout))
      expect(left.expires_at - left.created).toBe(24 * 60 * 60)
      now += 24 * 60 * 60 * 1000
      expect((yield* ask(() => stripe.checkout.sessions.retrieve(left.id))).status).toBe("expired")
      expect(yield* Effect.flip(simulator.pay(left.id))).toMatchObject({ status: 400 })
    })
  )

  it.live("owns its PaymentIntent", () =>
    Effect.gen(function* () {
      const { simulator, stripe } = yield* simulated()
      const session = yield* ask(() => stripe.checkout.sessions.create(checkout))
      const intent = yield* simulator.decline(session.id)
      expect(yield* refused(() => stripe.paymentIntents.cancel(intent.id))).toMatchObject({
        code: "payment_intent_unexpected_state"
      })
      // By the PaymentIntent's own id too the session hears of it.
      yield* simulator.pay(intent.id)
      expect((yield* ask(() => stripe.checkout.sessions.retrieve(session.id))).payment_status).toBe("paid")
      const found = yield* ask(() => stripe.checkout.sessions.list({ payment_intent: intent.id }))
      expect(found.data.map(({ id }) => id)).toEqual([session.id])
    })
  )

  it.live("sells what has a price of its own", () =>
    Effect.gen(function* () {
      const { stripe } = yield* simulated()
      const price = yield* ask(() =>
        stripe.prices.create({ currency: "eur", unit_amount: 2500, product_data: { name: "2,500 credits" } })
      )
      const session = yield* ask(() =>
        stripe.checkout.sessions.create({
          ...checkout,
          line_items: [{ price: price.id, quantity: 2 }],
          expand: ["line_items"]
        })
      )
      expect(session.amount_total).toBe(5000)
      expect(session.line_items?.data).toMatchObject([
        { description: "2,500 credits", quantity: 2, price: { id: price.id, unit_amount: 2500 } }
      ])
    })
  )
})

describe("refunds", () => {
  it.live("come in parts, never more than was paid", () =>
    Effect.gen(function* () {
      const { simulator, stripe } = yield* simulated()
      const { id } = yield* ask(() => stripe.paymentIntents.create(purchase))
      expect(yield* refused(() => stripe.refunds.create({ payment_intent: id }))).toMatchObject({ status: 400 })
      yield* simulator.pay(id)
      const news = watching(simulator)
      yield* news
      const first = yield* ask(() => stripe.refunds.create({ payment_intent: id, amount: 300 }))
      expect(first).toMatchObject({ status: "succeeded", amount: 300, payment_intent: id })
      expect(yield* news).toEqual(["refund.created", "charge.refunded"])
      expect(yield* refused(() => stripe.refunds.create({ payment_intent: id, amount: 701 }))).toMatchObject({
        status: 400,
        param: "amount"
      })
      const second = yield* ask(() => stripe.refunds.create({ payment_intent: id }))
      expect(second.amount).toBe(700)
      expect(yield* refused(() => stripe.refunds.create({ payment_intent: id }))).toMatchObject({
        code: "charge_already_refunded"
      })
      const charge = yield* ask(() => stripe.charges.list({ payment_intent: id, expand: ["data.refunds"] }))
      expect(charge.data).toMatchObject([{ amount_refunded: 1000, refunded: true }])
      expect(charge.data[0]?.refunds?.data.map(({ amount }) => amount)).toEqual([700, 300])
      expect((yield* ask(() => stripe.refunds.list({ payment_intent: id }))).data).toHaveLength(2)
    })
  )

  it.live("may fail afterwards, as if they had not been", () =>
    Effect.gen(function* () {
      const { simulator, stripe } = yield* simulated()
      const { id } = yield* ask(() => stripe.paymentIntents.create(purchase))
      yield* simulator.pay(id)
      const refund = yield* ask(() => stripe.refunds.create({ payment_intent: id }))
      const news = watching(simulator)
      yield* news
      expect(yield* simulator.decideRefund(refund.id, "failed")).toMatchObject({
        status: "failed",
        failure_reason: "expired_or_canceled_card"
      })
      expect(yield* news).toEqual(["refund.updated", "charge.refund.updated", "refund.failed"])
      const again = yield* ask(() => stripe.refunds.create({ payment_intent: id }))
      expect(again.amount).toBe(1000)
    })
  )

  it.live("of a direct debit are pending at first", () =>
    Effect.gen(function* () {
      const { simulator, stripe } = yield* simulated()
      const { id } = yield* ask(() => stripe.paymentIntents.create(purchase))
      yield* simulator.pay(id, { method: "sepa_debit" })
      yield* simulator.decideDebit(id, "succeeded")
      const refund = yield* ask(() => stripe.refunds.create({ payment_intent: id, amount: 500 }))
      expect(refund.status).toBe("pending")
      yield* simulator.decideRefund(refund.id, "succeeded")
      expect((yield* ask(() => stripe.refunds.retrieve(refund.id))).status).toBe("succeeded")
    })
  )
})

describe("disputes", () => {
  it.live("take the money, and bring it back when won", () =>
    Effect.gen(function* () {
      const { simulator, stripe } = yield* simulated()
      const { id } = yield* ask(() => stripe.paymentIntents.create(purchase))
      expect((yield* Effect.flip(simulator.openDispute(id))).status).toBe(404)
      yield* simulator.pay(id)
      yield* ask(() => stripe.refunds.create({ payment_intent: id, amount: 300 }))
      const news = watching(simulator)
      yield* news
      const dispute = yield* simulator.openDispute(id)
      expect(dispute).toMatchObject({ amount: 700, status: "needs_response", payment_intent: id })
      expect(dispute.balance_transactions.map(({ amount }) => amount)).toEqual([-700])
      expect(yield* news).toEqual(["charge.dispute.created", "charge.dispute.funds_withdrawn"])
      expect(yield* refused(() => stripe.refunds.create({ payment_intent: id }))).toMatchObject({
        code: "charge_disputed"
      })
      const won = yield* simulator.closeDispute(dispute.id, "won")
      expect(won.balance_transactions.map(({ amount }) => amount)).toEqual([-700, 700])
      expect(yield* news).toEqual(["charge.dispute.funds_reinstated", "charge.dispute.closed"])
      expect((yield* ask(() => stripe.refunds.create({ payment_intent: id }))).amount).toBe(700)
    })
  )

  it.live("are lost when given in to", () =>
    Effect.gen(function* () {
      const { simulator, stripe } = yield* simulated()
      const { id } = yield* ask(() => stripe.paymentIntents.create(purchase))
      yield* simulator.pay(id)
      const dispute = yield* simulator.openDispute(id, { amount: 400, reason: "product_not_received" })
      const news = watching(simulator)
      yield* news
      expect((yield* ask(() => stripe.disputes.close(dispute.id))).status).toBe("lost")
      expect(yield* news).toEqual(["charge.dispute.closed"])
      expect(yield* refused(() => stripe.disputes.close(dispute.id))).toMatchObject({ status: 400 })
      expect((yield* ask(() => stripe.disputes.list({ payment_intent: id }))).data).toMatchObject([
        { id: dispute.id, amount: 400, reason: "product_not_received" }
      ])
    })
  )

  it.live("about a direct debit are lost at once, also after a refund", () =>
    Effect.gen(function* () {
      const { simulator, stripe } = yield* simulated()
      const { id } = yield* ask(() => stripe.paymentIntents.create(purchase))
      yield* simulator.pay(id, { method: "sepa_debit" })
      yield* simulator.decideDebit(id, "succeeded")
      yield* ask(() => stripe.refunds.create({ payment_intent: id }))
      const news = watching(simulator)
      yield* news
      expect(yield* simulator.openDispute(id)).toMatchObject({ status: "lost", amount: 1000 })
      expect(yield* news).toEqual(["charge.dispute.created", "charge.dispute.funds_withdrawn", "charge.dispute.closed"])
    })
  )

  it.live("about a card that got everything back aren't opened; inquiries move no money", () =>
    Effect.gen(function* () {
      const { simulator, stripe } = yield* simulated()
      const { id } = yield* ask(() => stripe.paymentIntents.create(purchase))
      yield* simulator.pay(id)
      const news = watching(simulator)
      yield* news
      const inquiry = yield* simulator.openDispute(id, { inquiry: true })
      expect(inquiry).toMatchObject({ status: "warning_needs_response", balance_transactions: [] })
      yield* ask(() => stripe.refunds.create({ payment_intent: id }))
      expect((yield* simulator.closeDispute(inquiry.id, "won")).status).toBe("warning_closed")
      expect(yield* news).toEqual([
        "charge.dispute.created",
        "refund.created",
        "charge.refunded",
        "charge.dispute.closed"
      ])
      const other = yield* ask(() => stripe.paymentIntents.create(purchase))
      yield* simulator.pay(other.id)
      yield* ask(() => stripe.refunds.create({ payment_intent: other.id }))
      expect((yield* Effect.flip(simulator.openDispute(other.id))).status).toBe(400)
    })
  )
})
