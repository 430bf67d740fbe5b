import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { Stripe } from "stripe"
import { ask, purchase, receiver, simulated } from "./support.ts"

describe("webhooks", () => {
  it.live("arrive signed and in order", () =>
    Effect.gen(function* () {
      const endpoint = yield* receiver()
      const { simulator, stripe } = yield* simulated({ webhookUrl: endpoint.url })
      const { id } = yield* ask(() => stripe.paymentIntents.create(purchase))
      yield* simulator.pay(id)
      yield* simulator.webhooks.settled
      expect(endpoint.types()).toEqual([
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
        "charge.updated"
      ])
      for (const { body, signature } of endpoint.received) {
        const event = Stripe.webhooks.constructEvent(body, signature, simulator.webhookSecret)
        expect(event.api_version).toBe(Stripe.API_VERSION)
        expect(() => Stripe.webhooks.constructEvent(`${body} `, signature, simulator.webhookSecret)).toThrow()
        expect(() => Stripe.webhooks.constructEvent(body, signature, "whsec_other")).toThrow()
      }
      const listed = yield* ask(() => stripe.events.list())
      expect(listed.data.map((event) => event.id).toReversed()).toEqual(endpoint.ids())
      expect(listed.data.every(({ pending_webhooks }) => pending_webhooks === 0)).toBe(true)
    })
  )

  it.live("come again when not taken, without holding up the others", () =>
    Effect.gen(function* () {
      // The first event isn't taken until both others have come.
      const endpoint = yield* receiver((earlier, id) =>
        id === (earlier[0] ?? id) && new Set(earlier).size < 3 ? 500 : 200
      )
      const { simulator, stripe } = yield* simulated({ webhookUrl: endpoint.url, webhookRetryAfter: "50 millis" })
      yield* simulator.webhooks.mode("hold")
      yield* ask(() => stripe.customers.create({}))
      yield* ask(() => stripe.customers.create({}))
      yield* ask(() => stripe.customers.create({}))
      const [a, b, c] = (yield* simulator.events).map(({ id }) => id)
      yield* simulator.webhooks.release()
      const ids = endpoint.ids()
      expect(ids.filter((id) => id !== a)).toEqual([b, c])
      expect([ids.at(0), ids.at(-1)]).toEqual([a, a])
      expect((yield* simulator.events).map(({ pending_webhooks }) => pending_webhooks)).toEqual([0, 0, 0])
    })
  )

  it.live("are given up in the end, and only the list still shows them", () =>
    Effect.gen(function* () {
      const endpoint = yield* receiver((earlier) => (earlier.length < 4 ? 500 : 200))
      const { simulator, stripe } = yield* simulated({
        webhookUrl: endpoint.url,
        webhookRetryAfter: "1 millis",
        webhookRetries: 3
      })
      yield* ask(() => stripe.customers.create({}))
      yield* simulator.webhooks.settled
      expect(endpoint.received).toHaveLength(4)
      yield* ask(() => stripe.customers.create({}))
      yield* simulator.webhooks.settled
      const [lost, taken] = (yield* simulator.events).map(({ id }) => id)
      const listed = (delivered: boolean) =>
        Effect.map(
          ask(() => stripe.events.list({ delivery_success: delivered })),
          ({ data }) => data.map(({ id }) => id)
        )
      expect(yield* listed(false)).toEqual([lost])
      expect(yield* listed(true)).toEqual([taken])
    })
  )

  it.live("wait for an address, and can be told another", () =>
    Effect.gen(function* () {
      const [first, second] = [yield* receiver(), yield* receiver()]
      const { simulator, stripe } = yield* simulated()
      yield* ask(() => stripe.customers.create({}))
      expect(yield* simulator.webhooks.held).toHaveLength(1)
      yield* simulator.webhooks.target(first.url)
      yield* simulator.webhooks.settled
      yield* simulator.webhooks.target(second.url)
      yield* ask(() => stripe.customers.create({}))
      yield* simulator.webhooks.settled
      expect([first.received.length, second.received.length]).toEqual([1, 1])
    })
  )

  it.live("can be held, sent one by one in any order, twice, or lost", () =>
    Effect.gen(function* () {
      const endpoint = yield* receiver((earlier) => (earlier.length === 2 ? 503 : 200))
      const { simulator, stripe } = yield* simulated({ webhookUrl: endpoint.url })
      yield* simulator.webhooks.mode("hold")
      const { id } = yield* ask(() => stripe.paymentIntents.create(purchase))
      yield* simulator.pay(id)
      const held = yield* simulator.webhooks.held
      expect(held).toHaveLength(4)
      expect(endpoint.received).toHaveLength(0)
      const [created = "", , succeeded = ""] = held.map((event) => event.id)
      expect(yield* simulator.webhooks.deliver(succeeded)).toBe(200)
      expect(yield* simulator.webhooks.deliver(succeeded)).toBe(200)
      expect(yield* simulator.webhooks.deliver(created)).toBe(503)
      expect(yield* simulator.webhooks.deliver(created)).toBe(200)
      expect(endpoint.ids()).toEqual([succeeded, succeeded, created, created])
      expect(yield* simulator.webhooks.held).toHaveLength(2)
      expect((yield* Effect.flip(simulator.webhooks.deliver("evt_none"))).status).toBe(404)

      yield* simulator.webhooks.mode("lose")
      yield* ask(() => stripe.customers.create({}))
      yield* simulator.webhooks.release()
      expect(endpoint.received).toHaveLength(6)
      expect(endpoint.types()).not.toContain("customer.created")
      const listed = yield* ask(() => stripe.events.list({ delivery_success: false }))
      expect(listed.data.map(({ type }) => type)).toEqual(["customer.created"])
    })
  )

  it.live("can be shuffled, doubled and thinned by a seed", () =>
    Effect.gen(function* () {
      const order = (seed: number) =>
        Effect.gen(function* () {
          const endpoint = yield* receiver()
          const { simulator, stripe } = yield* simulated({ webhookUrl: endpoint.url })
          yield* simulator.webhooks.mode("hold")
          for (let n = 0; n < 20; n++) yield* ask(() => stripe.customers.create({}))
          yield* simulator.webhooks.release({ seed, duplicate: 0.5, lose: 0.2 })
          const ids = (yield* simulator.events).map(({ id }) => id)
          return endpoint.ids().map((id) => ids.indexOf(id))
        })
      const first = yield* order(3)
      expect(new Set(first).size).toBeLessThan(20)
      expect(first.length).toBeGreaterThan(new Set(first).size)
      expect(first).not.toEqual(first.toSorted((a, b) => a - b))
      expect(yield* order(3)).toEqual(first)
      expect(yield* order(4)).not.toEqual(first)
    })
  )

  it.live("bring only the types that were asked for", () =>
    Effect.gen(function* () {
      const endpoint = yield* receiver()
      const { simulator, stripe } = yield* simulated({
        webhookUrl: endpoint.url,
        webhookTypes: ["payment_intent.succeeded"]
      })
      const { id } = yield* ask(() => stripe.paymentIntents.create(purchase))
      yield* simulator.pay(id)
      yield* simulator.webhooks.settled
      expect(endpoint.types()).toEqual(["payment_intent.succeeded"])
      expect(yield* simulator.events).toHaveLength(4)
    })
  )
})
