/** What the worker asks the books before it asks Stripe, and what it tells them afterwards. */
import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { invalid, nobodysId, noPurchase } from "../../support/refusals.ts"
import { begin, paid, paymentIntent, refund, send, standing } from "../../support/stripe.ts"

const db = await database()

const inMinutes = (minutes: number) => new Date(Date.now() + minutes * 60_000)

test("stripe.due_purchases hands out what has been pending for a quarter of an hour, then less and less often", async () => {
  const purchase = await begin(db, { livemode: true })
  const due = (minutes: number) => db.call("stripe.due_purchases", { livemode: true, now: inMinutes(minutes) })
  expect(await due(14)).toEqual([])
  expect(await due(16)).toEqual([
    expect.objectContaining({ purchaseId: purchase.purchaseId, paymentIntentId: purchase.paymentIntentId })
  ])
  expect(await due(30)).toEqual([])
  expect(await due(32)).toHaveLength(1)
  expect(await due(60)).toEqual([])
  expect(await due(63)).toHaveLength(1)
  await send(db, paymentIntent(purchase, "succeeded", { livemode: true }))
  expect(await due(100_000)).toEqual([])
})

test("stripe.due_purchases keeps to a mode and a limit, and hands nothing out twice at once", async () => {
  const purchases = await Promise.all(Array.from({ length: 6 }, () => begin(db)))
  const ours = new Set(purchases.map(({ purchaseId }) => purchaseId))
  const due = { livemode: false, now: inMinutes(16), limit: 2 }
  const handedOut = await Promise.all(Array.from({ length: 5 }, () => db.call("stripe.due_purchases", due)))
  const ids: ReadonlyArray<string> = handedOut.flat().map((order) => order.purchaseId)
  expect(handedOut.every((orders) => orders.length <= 2)).toBe(true)
  expect(new Set(ids).size).toBe(ids.length)
  expect(new Set(ids).isSubsetOf(ours)).toBe(true)
})

test("stripe.give_up_purchase: a day old without Stripe, 30 days with, never when paid", async () => {
  const unknown = await begin(db, { attached: false })
  const known = await begin(db)
  const done = await paid(db)
  const giveUp = (purchaseId: string, hours: number) =>
    db.call("stripe.give_up_purchase", { purchaseId, now: inMinutes(hours * 60) })
  expect(await giveUp(unknown.purchaseId, 23)).toMatchObject({ status: "pending" })
  expect(await giveUp(unknown.purchaseId, 25)).toMatchObject({ status: "cancelled" })
  expect(await giveUp(known.purchaseId, 29 * 24)).toMatchObject({ status: "pending" })
  expect(await giveUp(known.purchaseId, 31 * 24)).toMatchObject({ status: "cancelled" })
  expect(await giveUp(done.purchaseId, 31 * 24)).toMatchObject({ status: "completed" })
  // Money that comes in all the same is credited.
  await send(db, paymentIntent(known, "succeeded"))
  expect(await standing(db, known)).toMatchObject({ status: "completed", balance: 1050 })
})

test("stripe.give_up_purchase refuses a purchase that isn't there (CR303)", async () => {
  expect(await db.refused("stripe.give_up_purchase", { purchaseId: nobodysId })).toEqual(noPurchase(nobodysId))
})

test("stripe.unseen_events: what was never delivered, and what came in another version", async () => {
  const purchase = await begin(db)
  const seen = paymentIntent(purchase, "processing")
  const old = paymentIntent(purchase, "succeeded", { apiVersion: "2019-01-01" })
  await send(db, seen, old)
  expect(await db.call("stripe.unseen_events", { eventIds: ["evt_b", seen.id, old.id, "evt_a"] })).toEqual([
    "evt_b",
    old.id,
    "evt_a"
  ])
  expect(await db.call("stripe.unseen_events", { eventIds: [] })).toEqual([])
  expect(await db.refused("stripe.unseen_events", { eventIds: {} })).toEqual(invalid("eventIds"))
})

test("stripe.events_until starts with the first purchase, moves on and never back, at most 29 days behind", async () => {
  const [first] = await db.query("select min(created_at) as at from credits.purchases where livemode = false")
  const until = async (args: object) => (await db.call("stripe.events_until", { livemode: false, ...args })).until
  expect(await until({})).toBe(first.at.toISOString())
  const later = inMinutes(60)
  expect(await until({ until: later })).toBe(later.toISOString())
  expect(await until({ until: inMinutes(30) })).toBe(later.toISOString())
  const muchLater = inMinutes(40 * 1440)
  expect(await until({ now: muchLater })).toBe(new Date(muchLater.getTime() - 29 * 86_400_000).toISOString())
})

test("a refund asked for by hand goes out once and comes back as an event", async () => {
  const purchase = await paid(db)
  const { purchaseId, paymentIntentId } = purchase
  const signed = { purchaseId, who: "ada", why: "goodwill" }
  const [request] = await db.rows("ops.refund_purchase", { ...signed, amountEuroCents: 400 }, "mana_ops")
  expect(request).toMatchObject({ status: "requested", amount_euro_cents: 400, who: "ada", why: "goodwill" })
  const due = { livemode: false }
  expect(await db.call("stripe.due_refunds", due)).toEqual([
    { requestId: request.id, purchaseId, paymentIntentId, amountEuroCents: 400 }
  ])
  expect(await db.call("stripe.due_refunds", due)).toEqual([])
  expect(await db.call("stripe.due_refunds", { ...due, now: inMinutes(16) })).toHaveLength(1)
  const closed = { requestId: request.id, status: "sent", refundId: "re_goodwill" }
  expect(await db.call("stripe.close_refund", { requestId: request.id, refundId: "re_goodwill" })).toEqual(closed)
  expect(await db.call("stripe.close_refund", { requestId: request.id, error: "late" })).toEqual(closed)
  expect(await standing(db, purchase)).toMatchObject({ balance: 1050 })
  await send(db, refund(purchase, "created", { refundId: "re_goodwill", amount: 400 }))
  expect(await standing(db, purchase)).toMatchObject({ balance: 630 })
})

test("refunds by hand never ask for more than is left, what is under way included (CR306)", async () => {
  const purchase = await paid(db)
  const { purchaseId } = purchase
  const signed = { purchaseId, who: "ada", why: "goodwill" }
  const beyond = (refundable: number, purchaseStatus = "completed") => ({
    sqlstate: "CR306",
    message: expect.any(String),
    detail: { purchaseId, purchaseStatus, refundable }
  })
  const ask = (amountEuroCents?: number) =>
    db.refused("ops.refund_purchase", { ...signed, amountEuroCents }, "mana_ops")
  expect(await ask(1001)).toEqual(beyond(1000))
  const [first] = await db.rows("ops.refund_purchase", { ...signed, amountEuroCents: 400 }, "mana_ops")
  expect(await ask(601)).toEqual(beyond(600))
  // Refused by Stripe, it is free to be asked for again.
  await db.call("stripe.close_refund", { requestId: first.id, error: "charge_already_refunded" })
  const [all] = await db.rows("ops.refund_purchase", signed, "mana_ops")
  expect(all).toMatchObject({ amount_euro_cents: 1000 })
  expect(await ask()).toEqual(beyond(0))
  const unpaid = await begin(db)
  expect(
    await db.refused("ops.refund_purchase", { ...signed, purchaseId: unpaid.purchaseId }, "mana_ops")
  ).toMatchObject({ sqlstate: "CR306", detail: { refundable: 0 } })
})

test.each(["stripe.due_purchases", "stripe.due_refunds"])("%s refuses a limit of 0 (CR001)", async (name) => {
  expect(await db.refused(name, { livemode: false, limit: 0 })).toEqual(invalid("limit"))
})
