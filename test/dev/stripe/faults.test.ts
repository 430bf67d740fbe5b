import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { Stripe } from "stripe"
import { type FaultKind, faultKinds } from "../../../src/dev/stripe/faults.ts"
import type { StripeSimulator } from "../../../src/dev/stripe/simulator.ts"
import { ask, purchase, said, simulated } from "./support.ts"

/** A client that waits this long for an answer. */
const patient = (simulator: StripeSimulator, milliseconds: number) =>
  new Stripe(simulator.apiKey, {
    ...simulator.connection,
    maxNetworkRetries: 0,
    timeout: milliseconds,
    telemetry: false
  })

const expected: Readonly<Record<Exclude<FaultKind, "stall">, { readonly error: object; readonly done: boolean }>> = {
  "timeout-before": { error: { type: "StripeConnectionError" }, done: false },
  "timeout-after": { error: { type: "StripeConnectionError" }, done: true },
  "reset-before": { error: { type: "StripeConnectionError" }, done: false },
  "reset-after": { error: { type: "StripeConnectionError" }, done: true },
  "cut-off": { error: { type: "StripeConnectionError" }, done: true },
  "429": { error: { type: "StripeRateLimitError", status: 429, code: "rate_limit" }, done: false },
  "500": { error: { type: "StripeAPIError", status: 500 }, done: false },
  "500-after": { error: { type: "StripeAPIError", status: 500 }, done: true }
}

describe("a fault", () => {
  for (const kind of faultKinds.filter((each) => each !== "stall")) {
    it.live(`${kind}: the client sees it, the work is ${expected[kind].done ? "" : "not "}done`, () =>
      Effect.gen(function* () {
        const { simulator } = yield* simulated()
        const create = (client: Stripe) => ask(() => client.paymentIntents.create(purchase, { idempotencyKey: "k1" }))
        // The library itself tries once more after a reset.
        const times = kind.startsWith("reset") ? 2 : 1
        yield* simulator.faults.next(kind, { times })
        expect(
          said(yield* Effect.flip(create(patient(simulator, kind.startsWith("timeout") ? 300 : 5000))))
        ).toMatchObject(expected[kind].error)
        expect(yield* simulator.faults.struck).toHaveLength(times)
        expect(yield* simulator.paymentIntents).toHaveLength(expected[kind].done ? 1 : 0)
        const again = yield* Effect.result(create(patient(simulator, 5000)))
        // A 500 that the key remembers stays; after anything else the same key gets its one PaymentIntent.
        expect(again._tag).toBe(kind === "500-after" ? "Failure" : "Success")
        expect(yield* simulator.paymentIntents).toHaveLength(1)
      })
    )
  }

  it.live("strikes the calls that were meant, and no others", () =>
    Effect.gen(function* () {
      const { simulator, stripe } = yield* simulated()
      yield* simulator.faults.next("500", { method: "POST", path: "/v1/payment_intents", times: 2 })
      yield* ask(() => stripe.customers.create({}))
      yield* ask(() => stripe.paymentIntents.list())
      yield* Effect.flip(ask(() => stripe.paymentIntents.create(purchase)))
      yield* Effect.flip(ask(() => stripe.paymentIntents.create(purchase)))
      yield* ask(() => stripe.paymentIntents.create(purchase))
      expect(yield* simulator.faults.struck).toEqual([
        { kind: "500", method: "POST", path: "/v1/payment_intents" },
        { kind: "500", method: "POST", path: "/v1/payment_intents" }
      ])
    })
  )
})

describe("random faults", () => {
  it.live("come the same from the same seed", () =>
    Effect.gen(function* () {
      const struckBy = (seed: number) =>
        Effect.gen(function* () {
          const { simulator, stripe } = yield* simulated()
          yield* simulator.faults.randomly({ seed, chance: 0.5, kinds: ["429", "500"] })
          for (let n = 0; n < 20; n++) yield* Effect.ignore(ask(() => stripe.customers.list()))
          return (yield* simulator.faults.struck).map(({ kind }) => kind)
        })
      const first = yield* struckBy(1)
      expect(first.length).toBeGreaterThan(3)
      expect(yield* struckBy(1)).toEqual(first)
      expect(yield* struckBy(2)).not.toEqual(first)
    })
  )

  it.live("never make a second PaymentIntent for one key, in 80 purchases", () =>
    Effect.gen(function* () {
      const { simulator } = yield* simulated()
      const client = patient(simulator, 1000)
      yield* simulator.faults.randomly({ seed: 7, chance: 0.3, method: "POST" })
      const buy = (n: number) =>
        ask(() =>
          client.paymentIntents.create({ ...purchase, metadata: { purchase: `${n}` } }, { idempotencyKey: `buy-${n}` })
        ).pipe(
          Effect.retry({ times: 12, while: ({ headers }) => headers?.["stripe-should-retry"] !== "false" }),
          Effect.result
        )
      const results = yield* Effect.all(
        Array.from({ length: 80 }, (_, n) => buy(n)),
        { concurrency: 10 }
      )
      const made = (yield* simulator.paymentIntents).map(({ metadata }) => metadata["purchase"])
      expect(new Set(made).size).toBe(made.length)
      // Whoever got an answer has a PaymentIntent; a few keys remember a 500 though the work was done.
      expect(made.length).toBe(80)
      expect(results.filter(({ _tag }) => _tag === "Success").length).toBeGreaterThan(60)
      expect(new Set((yield* simulator.faults.struck).map(({ kind }) => kind)).size).toBe(8)
    })
  )
})
