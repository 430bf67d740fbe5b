import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { begin, chargeRefunded, paymentIntent, send } from "../../support/stripe.ts"

const db = await database()

test("what couldn't be applied, oldest first, and why", async () => {
  const purchase = await begin(db, { checkout: true })
  const wrong = paymentIntent(purchase, "succeeded", { fields: { amount: 1 } })
  const early = chargeRefunded({ ...purchase, paymentIntentId: "pi_0" }, 500)
  await send(db, wrong, early, paymentIntent(purchase, "processing"))
  // Oldest by when it came, whatever place its row has, and whatever place its PaymentIntent has in an index.
  await db.query("update credits.stripe_events set received_at = received_at + interval '1 hour' where id = $1", [
    early.id
  ])
  await db.query("update credits.stripe_events set received_at = received_at where id = $1", [wrong.id])
  const kept = { attempts: 1, next_attempt_at: expect.any(Date), received_at: expect.any(Date), detail: null }
  expect(await db.rows("ops.kept_events", {}, "mana_readonly")).toEqual([
    {
      ...kept,
      event_id: wrong.id,
      type: "payment_intent.succeeded",
      reason: "amount_mismatch",
      payment_intent_id: purchase.paymentIntentId,
      purchase_id: purchase.purchaseId,
      user_id: purchase.userId
    },
    {
      ...kept,
      event_id: early.id,
      type: "charge.refunded",
      reason: "purchase_unknown",
      payment_intent_id: "pi_0",
      purchase_id: null,
      user_id: null
    }
  ])
})
