import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { invalid, nobodysId } from "../../support/refusals.ts"
import { paid, refund, send, standing } from "../../support/stripe.ts"

const db = await database()

/** A paid purchase of which 400 cents are to be refunded. */
const asked = async () => {
  const purchase = await paid(db)
  const signed = { purchaseId: purchase.purchaseId, who: "ada", why: "goodwill", amountEuroCents: 400 }
  const [request] = await db.rows("ops.refund_purchase", signed, "mana_ops")
  const requestId: string = request.id
  return { purchase, requestId }
}

test("keeps the refund that Stripe made, once; the credits follow from its events", async () => {
  const { purchase, requestId } = await asked()
  const closed = { requestId, status: "sent", refundId: "re_goodwill" }
  expect(await db.call("stripe.close_refund", { requestId, refundId: "re_goodwill" })).toEqual(closed)
  expect(await db.call("stripe.close_refund", { requestId, error: "late" })).toEqual(closed)
  expect(await standing(db, purchase)).toMatchObject({ balance: 1050 })
  await send(db, refund(purchase, "created", { refundId: "re_goodwill", amount: 400 }))
  expect(await standing(db, purchase)).toMatchObject({ balance: 630 })
})

test("closes that one, and leaves another open", async () => {
  const [first, second] = [await asked(), await asked()]
  await db.call("stripe.close_refund", { requestId: second.requestId, refundId: "re_second" })
  expect(await db.query("select status from credits.refund_requests where id = $1", [first.requestId])).toEqual([
    { status: "requested" }
  ])
})

test("keeps why Stripe refused", async () => {
  const { requestId } = await asked()
  const refused = { requestId, status: "refused", refundId: null }
  expect(await db.call("stripe.close_refund", { requestId, error: "charge_disputed" })).toEqual(refused)
  expect(await db.query("select error from credits.refund_requests where id = $1", [requestId])).toEqual([
    { error: "charge_disputed" }
  ])
})

test("refuses both a refund and an error, and neither (CR001)", async () => {
  expect(await db.refused("stripe.close_refund", { requestId: nobodysId })).toEqual(invalid("refundId"))
  const both = { requestId: nobodysId, refundId: "re_1", error: "no" }
  expect(await db.refused("stripe.close_refund", both)).toEqual(invalid("refundId"))
})
