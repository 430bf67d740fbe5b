import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { begin, dispute, paymentIntent, refund, send } from "../../support/stripe.ts"

const db = await database()

test("everything about one payment, by whatever id is at hand", async () => {
  const purchase = await begin(db, { checkout: true })
  const event = paymentIntent(purchase, "succeeded")
  await send(db, event)
  await db.call("credits.use", { userId: purchase.userId, amount: 1000, appId: "chat", description: "Answers" })
  await send(
    db,
    refund(purchase, "created", { refundId: "re_all", amount: 100 }),
    dispute(purchase, "funds_withdrawn", { disputeId: "du_all", amount: 900 })
  )
  const { userId, purchaseId } = purchase
  await db.call("credits.grant", { userId, amount: 100, reason: "test", referenceId: "a" })

  const rows = await db.rows("ops.payment", { id: purchaseId }, "mana_readonly")
  expect(rows.map((row) => row.what).toSorted()).toEqual([
    ...["debt", "debt", "debt", "dispute", "event", "event", "event"],
    ...["ledger", "ledger", "ledger", "purchase", "refund"]
  ])
  expect(rows.find((row) => row.what === "purchase")).toMatchObject({
    id: purchaseId,
    summary: `refunded: 1050 credits for 1000 euro cents by ${userId}, 0 kept`
  })
  const ids = [purchase.paymentIntentId, purchase.checkoutSessionId, "re_all", "du_all", event.id]
  for (const id of ids) expect(await db.rows("ops.payment", { id }, "mana_ops")).toEqual(rows)
  expect(await db.rows("ops.payment", { id: "nothing" }, "mana_ops")).toEqual([])
})
