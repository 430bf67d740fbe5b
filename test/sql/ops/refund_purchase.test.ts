import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { invalid, nobodysId, noPurchase } from "../../support/refusals.ts"
import { begin, dispute, paid, refund, send } from "../../support/stripe.ts"

const db = await database()

const signed = { who: "ada", why: "goodwill" }

const ask = async (purchaseId: string, amountEuroCents?: number) => {
  const [request] = await db.rows("ops.refund_purchase", { ...signed, purchaseId, amountEuroCents }, "mana_ops")
  return request
}

const refused = (purchaseId: string, amountEuroCents?: number) =>
  db.refused("ops.refund_purchase", { ...signed, purchaseId, amountEuroCents }, "mana_ops")

const beyond = (purchaseId: string, refundable: number, purchaseStatus = "completed") => ({
  sqlstate: "CR306",
  message: expect.any(String),
  detail: { purchaseId, purchaseStatus, refundable }
})

test("asks for all that is left of a payment, signed", async () => {
  const { purchaseId, userId } = await paid(db)
  await ask(purchaseId, 300)
  expect(await ask(purchaseId)).toMatchObject({
    user_id: userId,
    purchase_id: purchaseId,
    amount_euro_cents: 700,
    who: "ada",
    why: "goodwill",
    status: "requested"
  })
})

test("never asks for more than is left, what is under way included (CR306)", async () => {
  const purchase = await paid(db)
  const { purchaseId } = purchase
  expect(await refused(purchaseId, 1001)).toEqual(beyond(purchaseId, 1000))
  const first = await ask(purchaseId, 400)
  expect(await refused(purchaseId, 601)).toEqual(beyond(purchaseId, 600))
  // Refused by Stripe, it is free to be asked for again.
  await db.call("stripe.close_refund", { requestId: first.id, error: "try again" })
  await send(db, dispute(purchase, "funds_withdrawn", { amount: 250 }))
  expect(await ask(purchaseId)).toMatchObject({ amount_euro_cents: 750 })
  expect(await refused(purchaseId)).toEqual(beyond(purchaseId, 0))
})

test("counts each cent once: what Stripe reported, what is disputed, and what was asked for since", async () => {
  const purchase = await paid(db)
  const { purchaseId } = purchase
  const asked = await ask(purchaseId, 100)
  await db.call("stripe.close_refund", { requestId: asked.id, refundId: "re_asked" })
  expect(await refused(purchaseId, 1000)).toEqual(beyond(purchaseId, 900))
  await send(
    db,
    refund(purchase, "created", { refundId: "re_asked", amount: 100 }),
    refund(purchase, "created", { refundId: "re_by_dashboard", amount: 200 }),
    dispute(purchase, "funds_withdrawn", { amount: 250 })
  )
  await ask(purchaseId, 50)
  expect(await refused(purchaseId, 1000)).toEqual(beyond(purchaseId, 400))
})

test("another payment of the same person has its own requests and refunds", async () => {
  const first = await paid(db)
  const second = await paid(db, {}, first.userId)
  const asked = await ask(first.purchaseId, 300)
  expect(await refused(second.purchaseId, 1001)).toEqual(beyond(second.purchaseId, 1000))
  // Closed by mistake with a refund of the other payment: what was asked for here is still to come.
  await send(db, refund(second, "created", { refundId: "re_of_second", amount: 400 }))
  await db.call("stripe.close_refund", { requestId: asked.id, refundId: "re_of_second" })
  expect(await refused(first.purchaseId, 1000)).toEqual(beyond(first.purchaseId, 700))
  expect(await refused(second.purchaseId, 1000)).toEqual(beyond(second.purchaseId, 600))
})

test("refuses a purchase that isn't paid (CR306) or isn't there (CR303)", async () => {
  const { purchaseId } = await begin(db)
  expect(await refused(purchaseId)).toEqual(beyond(purchaseId, 0, "pending"))
  expect(await refused(nobodysId)).toEqual(noPurchase(nobodysId))
})

test("refuses who doesn't sign or say why, and an amount of nothing (CR001)", async () => {
  const { purchaseId } = await paid(db)
  const request = { purchaseId, ...signed }
  expect(await db.refused("ops.refund_purchase", { ...request, who: " " }, "mana_ops")).toEqual(invalid("who"))
  expect(await db.refused("ops.refund_purchase", { ...request, why: "" }, "mana_ops")).toEqual(invalid("why"))
  expect(await refused(purchaseId, 0)).toEqual(invalid("amountEuroCents"))
})
