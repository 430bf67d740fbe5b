import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Schedule } from "effect"
import { ask, purchase, refused, said, simulated } from "./support.ts"

describe("an idempotency key", () => {
  it.live("gives the first answer again", () =>
    Effect.gen(function* () {
      const { simulator, stripe } = yield* simulated()
      const create = ask(() => stripe.paymentIntents.create(purchase, { idempotencyKey: "k1" }))
      const first = yield* create
      yield* simulator.pay(first.id)
      const again = yield* create
      // The answer as it was then, not as the object is now.
      expect(again).toEqual(first)
      expect(first.lastResponse.headers["idempotent-replayed"]).toBeUndefined()
      expect(again.lastResponse.headers["idempotent-replayed"]).toBe("true")
      expect(again.lastResponse.headers["original-request"]).toBe(first.lastResponse.requestId)
      expect(again.lastResponse.idempotencyKey).toBe("k1")
      expect(yield* simulator.paymentIntents).toHaveLength(1)
      const [event] = yield* simulator.events
      expect(event?.request).toEqual({ id: first.lastResponse.requestId, idempotency_key: "k1" })
    })
  )

  it.live("belongs to one request", () =>
    Effect.gen(function* () {
      const { simulator, stripe } = yield* simulated()
      yield* ask(() => stripe.paymentIntents.create(purchase, { idempotencyKey: "k1" }))
      const other = yield* Effect.flip(
        ask(() => stripe.paymentIntents.create({ ...purchase, amount: 2000 }, { idempotencyKey: "k1" }))
      )
      expect(said(other)).toMatchObject({ type: "StripeIdempotencyError", status: 400 })
      expect(other.message).toContain("can only be used with the same parameters")
      const elsewhere = yield* Effect.flip(ask(() => stripe.customers.create({}, { idempotencyKey: "k1" })))
      expect(elsewhere.message).toContain("('/v1/customers' vs '/v1/payment_intents')")
      expect(yield* simulator.paymentIntents).toHaveLength(1)
    })
  )

  it.live("remembers refusals once the work began, but no wrong parameters", () =>
    Effect.gen(function* () {
      const { simulator, stripe } = yield* simulated()
      const { id } = yield* ask(() => stripe.paymentIntents.create(purchase))
      const refund = () => stripe.refunds.create({ payment_intent: id }, { idempotencyKey: "r1" })
      expect(yield* refused(refund)).toMatchObject({ status: 400 })
      yield* simulator.pay(id)
      expect(yield* refused(refund)).toMatchObject({ status: 400 })
      expect(yield* refused(() => stripe.customers.create({ email: "" }, { idempotencyKey: "c1" }))).toMatchObject({
        param: "email"
      })
      expect((yield* ask(() => stripe.customers.create({ email: "a@b.de" }, { idempotencyKey: "c1" }))).email).toBe(
        "a@b.de"
      )
    })
  )

  it.live("is in use while the first request is being carried out", () =>
    Effect.gen(function* () {
      const { simulator, stripe } = yield* simulated()
      yield* simulator.faults.next("stall")
      const create = ask(() => stripe.paymentIntents.create(purchase, { idempotencyKey: "k1" }))
      const first = yield* Effect.forkChild(create)
      yield* Effect.repeat(simulator.faults.stalled, {
        schedule: Schedule.spaced("5 millis"),
        until: (stalled) => stalled === 1
      })
      expect(said(yield* Effect.flip(create))).toMatchObject({ status: 409, code: "idempotency_key_in_use" })
      yield* simulator.faults.release
      expect(yield* create).toEqual(yield* Fiber.join(first))
      expect(yield* simulator.paymentIntents).toHaveLength(1)
    })
  )

  it.live("is forgotten after a day", () =>
    Effect.gen(function* () {
      let now = Date.now()
      const { simulator, stripe } = yield* simulated({ now: () => now })
      const create = ask(() => stripe.paymentIntents.create(purchase, { idempotencyKey: "k1" }))
      const first = yield* create
      now += 24 * 60 * 60 * 1000 - 1000
      expect((yield* create).id).toBe(first.id)
      now += 2000
      expect((yield* create).id).not.toBe(first.id)
      expect(yield* simulator.paymentIntents).toHaveLength(2)
    })
  )
})
