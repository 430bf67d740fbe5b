import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { invalid, nobodysId, noPurchase } from "../../support/refusals.ts"
import { begin, dispute, paid, send } from "../../support/stripe.ts"

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
