import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { badTexts, invalid, nobodysId, noPurchase } from "../../support/refusals.ts"
import { begin, paid, refund, send } from "../../support/stripe.ts"

const db = await database()

test("one purchase, as its buyer sees it", async () => {
  const { userId, purchaseId } = await paid(db)
  expect(await db.call("credits.purchase", { userId, purchaseId }, "mana_readonly")).toEqual({
    id: purchaseId,
    packageId: "credits_1000",
    credits: 1050,
    priceEuroCents: 1000,
    status: "completed",
    createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
    completedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
    refundedEuroCents: 0,
    disputedEuroCents: 0,
    dispute: null,
    creditsKept: 1050
  })
})

test("says what was refunded", async () => {
  const purchase = await paid(db)
  await send(db, refund(purchase, "created", { refundId: "re_p", amount: 250 }))
  const { userId, purchaseId } = purchase
  expect(await db.call("credits.purchase", { userId, purchaseId })).toMatchObject({
    status: "completed",
    refundedEuroCents: 250,
    creditsKept: 788
  })
})

test("refuses a purchase that isn't there or is somebody else's (CR303)", async () => {
  const { purchaseId } = await begin(db)
  const { userId } = await begin(db)
  expect(await db.refused("credits.purchase", { userId, purchaseId })).toEqual(noPurchase(purchaseId))
  expect(await db.refused("credits.purchase", { userId, purchaseId: nobodysId })).toEqual(noPurchase(nobodysId))
})

test.each(badTexts(128))("refuses a user id that is $what (CR001)", async ({ text }) => {
  expect(await db.refused("credits.purchase", { userId: text, purchaseId: nobodysId })).toEqual(invalid("userId"))
})
