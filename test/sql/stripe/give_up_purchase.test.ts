import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { nobodysId, noPurchase } from "../../support/refusals.ts"
import { begin, paid, paymentIntent, send, standing } from "../../support/stripe.ts"

const db = await database()

const inMinutes = (minutes: number) => new Date(Date.now() + minutes * 60_000)

test("gives up what is a day old without Stripe, 30 days with, never when paid", async () => {
  const unknown = await begin(db, { attached: false })
  const known = await begin(db)
  const inCheckout = await begin(db, { checkout: true })
  const done = await paid(db)
  const giveUp = (purchaseId: string, hours: number) =>
    db.call("stripe.give_up_purchase", { purchaseId, now: inMinutes(hours * 60) })
  expect(await giveUp(unknown.purchaseId, 23)).toMatchObject({ status: "pending" })
  expect(await giveUp(unknown.purchaseId, 25)).toMatchObject({ status: "cancelled" })
  expect(await giveUp(known.purchaseId, 29 * 24)).toMatchObject({ status: "pending" })
  expect(await giveUp(inCheckout.purchaseId, 29 * 24)).toMatchObject({ status: "pending" })
  expect(await giveUp(inCheckout.purchaseId, 31 * 24)).toMatchObject({ status: "cancelled" })
  expect(await giveUp(known.purchaseId, 31 * 24)).toMatchObject({ status: "cancelled" })
  expect(await giveUp(done.purchaseId, 31 * 24)).toMatchObject({ status: "completed" })
  expect(await db.query("select cancelled_at from credits.purchases where id = $1", [done.purchaseId])).toEqual([
    { cancelled_at: null }
  ])
  // Money that comes in all the same is credited.
  await send(db, paymentIntent(known, "succeeded"))
  expect(await standing(db, known)).toMatchObject({ status: "completed", balance: 1050 })
})

test("a day is 24 hours, to the moment", async () => {
  const now = inMinutes(0)
  const userId = await db.userWith(0)
  const { purchaseId } = await db.call("stripe.begin_purchase", {
    userId,
    packageId: "credits_500",
    livemode: false,
    now
  })
  const giveUp = (at: Date) => db.call("stripe.give_up_purchase", { purchaseId, now: at })
  const dayAfter = now.getTime() + 86_400_000
  expect(await giveUp(new Date(dayAfter - 1))).toMatchObject({ status: "pending" })
  expect(await giveUp(new Date(dayAfter))).toMatchObject({ status: "cancelled" })
})

test("gives up what was cancelled before, from then on", async () => {
  const purchase = await begin(db)
  const { purchaseId } = purchase
  await send(db, paymentIntent(purchase, "canceled"))
  const now = inMinutes(31 * 24 * 60)
  expect(await db.call("stripe.give_up_purchase", { purchaseId, now })).toMatchObject({ status: "cancelled" })
  expect(
    await db.query("select cancelled_at, next_check_at from credits.purchases where id = $1", [purchaseId])
  ).toEqual([{ cancelled_at: now, next_check_at: null }])
})

test("refuses a purchase that isn't there (CR303)", async () => {
  expect(await db.refused("stripe.give_up_purchase", { purchaseId: nobodysId })).toEqual(noPurchase(nobodysId))
})
