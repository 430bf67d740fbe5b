import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { invalid } from "../../support/refusals.ts"
import { session } from "../../support/session.ts"
import { begin, paymentIntent, send } from "../../support/stripe.ts"

const db = await database()

const inMinutes = (minutes: number) => new Date(Date.now() + minutes * 60_000)

test("hands out what has been pending for a quarter of an hour, then less and less often", async () => {
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

test("keeps to a mode and a limit, and hands nothing out twice at once", async () => {
  const purchases = await Promise.all(Array.from({ length: 6 }, () => begin(db)))
  const live = await begin(db, { livemode: true })
  const ours = new Set(purchases.map(({ purchaseId }) => purchaseId))
  const due = { livemode: false, now: inMinutes(16), limit: 2 }
  const handedOut = await Promise.all(Array.from({ length: 5 }, () => db.call("stripe.due_purchases", due)))
  const ids: ReadonlyArray<string> = handedOut.flat().map((order) => order.purchaseId)
  expect(handedOut.every((orders) => orders.length <= 2)).toBe(true)
  expect(new Set(ids).size).toBe(ids.length)
  expect(new Set(ids).isSubsetOf(ours)).toBe(true)
  await send(db, paymentIntent(live, "succeeded", { livemode: true }))
})

test("passes by a purchase that somebody is at", async () => {
  const [held, free] = [await begin(db, { livemode: true }), await begin(db, { livemode: true })]
  const client = await db.pool.connect()
  try {
    await client.query("begin")
    await client.query("select from credits.purchases where id = $1 for update", [held.purchaseId])
    const orders = await db.call("stripe.due_purchases", { livemode: true, now: inMinutes(16) })
    expect(orders.map((order: { readonly purchaseId: string }) => order.purchaseId)).toEqual([free.purchaseId])
  } finally {
    await client.query("rollback")
    client.release()
  }
})

test("the longest due first, and nothing else of the same person", async () => {
  const userId = await db.userWith(0)
  const later = await begin(db, { livemode: true }, userId)
  const sooner = await begin(db, { livemode: true }, userId)
  const [longAgo, dayAfter] = [new Date("2020-01-01T00:00:00Z"), new Date("2020-01-02T00:00:00Z")]
  for (const [{ purchaseId }, at] of [
    [sooner, longAgo],
    [later, dayAfter]
  ] as const) {
    await db.query("update credits.purchases set next_check_at = $2 where id = $1", [purchaseId, at])
  }
  const asking = await session(db)
  // As they stand in the table, not in an index.
  await asking.query("set enable_indexscan = off")
  await asking.query("set enable_bitmapscan = off")
  await db.query("update credits.purchases set livemode = livemode where id = $1", [sooner.purchaseId])
  const due = () => asking.call("stripe.due_purchases", { livemode: true, limit: 1, now: dayAfter })
  expect([await due(), await due(), await due()]).toMatchObject([
    [{ purchaseId: sooner.purchaseId }],
    [{ purchaseId: later.purchaseId }],
    []
  ])
})

test.each([0, 1001, null])("refuses a limit of %s (CR001)", async (limit) => {
  expect(await db.refused("stripe.due_purchases", { livemode: false, limit })).toEqual(invalid("limit"))
})
