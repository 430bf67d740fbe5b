import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { database } from "../support/database.ts"
import { begin, chargeRefunded, paid, paymentIntent, send, standing } from "../support/stripe.ts"
import { runningWorker, runTask } from "./running.ts"

const db = await database()

describe("payments in the worker", () => {
  it.live("kept events are tried again, all that are due", () =>
    Effect.gen(function* () {
      const purchases = yield* Effect.promise(() =>
        Promise.all(Array.from({ length: 120 }, () => begin(db, { checkout: true })))
      )
      yield* Effect.promise(() =>
        Promise.all(
          purchases.map(async (purchase) => {
            await send(db, paymentIntent(purchase, "succeeded", { fields: { metadata: {} } }))
            // What would have told us whose they are, had it come.
            await db.query("update credits.purchases set payment_intent_id = $2 where id = $1", [
              purchase.purchaseId,
              purchase.paymentIntentId
            ])
          })
        )
      )
      yield* Effect.promise(() => db.query("update credits.stripe_events set next_attempt_at = now()"))
      yield* runningWorker(db)
      yield* runTask(db, "retry_stripe_events")
      for (const purchase of purchases) {
        expect(yield* Effect.promise(() => standing(db, purchase))).toMatchObject({ status: "completed" })
      }
    })
  )

  it.live("without Stripe's key, reconciliation has nothing to do", () =>
    Effect.gen(function* () {
      const purchase = yield* Effect.promise(() => paid(db))
      yield* Effect.promise(() => send(db, chargeRefunded(purchase, 100)))
      const { lines } = yield* runningWorker(db)
      yield* runTask(db, "reconcile_payments")
      expect(lines.filter((line) => /level=(WARN|ERROR)/.test(line))).toEqual([])
    })
  )
})
