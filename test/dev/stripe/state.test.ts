import * as fs from "node:fs/promises"
import * as os from "node:os"
import * as path from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { ask, checkout, purchase, receiver, simulated } from "./support.ts"

const folder = Effect.acquireRelease(
  Effect.promise(() => fs.mkdtemp(path.join(os.tmpdir(), "simulator-"))),
  (dir) => Effect.promise(() => fs.rm(dir, { recursive: true, force: true }))
)

describe("a restart", () => {
  it.live("loses nothing: payments, keys, events that nobody took", () =>
    Effect.gen(function* () {
      const stateFile = path.join(yield* folder, "data", "stripe.json")
      const endpoint = yield* receiver()
      const before = yield* Effect.scoped(
        Effect.gen(function* () {
          const { simulator, stripe } = yield* simulated({ stateFile })
          const session = yield* ask(() => stripe.checkout.sessions.create(checkout))
          const intent = yield* ask(() => stripe.paymentIntents.create(purchase, { idempotencyKey: "k1" }))
          yield* simulator.pay(intent.id, { method: "sepa_debit" })
          return { session, intent }
        })
      )
      const { simulator, stripe } = yield* simulated({ stateFile, webhookUrl: endpoint.url })
      yield* simulator.webhooks.settled
      expect(endpoint.types()).toEqual(["payment_intent.created", "charge.pending", "payment_intent.processing"])
      const again = yield* ask(() => stripe.paymentIntents.create(purchase, { idempotencyKey: "k1" }))
      expect(again).toEqual(before.intent)
      expect((yield* simulator.decideDebit(before.intent.id, "succeeded")).status).toBe("succeeded")
      expect((yield* simulator.pay(before.session.id)).status).toBe("succeeded")
      const shown = yield* ask(() => stripe.checkout.sessions.retrieve(before.session.id, { expand: ["line_items"] }))
      expect(shown.line_items?.data[0]?.price?.unit_amount_decimal?.toString()).toBe("1000")
    })
  )

  it.live("says so when the file isn't ours, or the port is taken", () =>
    Effect.gen(function* () {
      const stateFile = path.join(yield* folder, "stripe.json")
      yield* Effect.promise(() => fs.writeFile(stateFile, "not json"))
      const unread = yield* Effect.flip(simulated({ stateFile }))
      expect(unread.message).toContain(stateFile)
      const { simulator } = yield* simulated()
      const taken = yield* Effect.flip(simulated({ port: simulator.connection.port }))
      expect(taken.message).toContain("EADDRINUSE")
    })
  )
})
