import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { invalid } from "../../support/refusals.ts"
import { session } from "../../support/session.ts"
import { begin, paid } from "../../support/stripe.ts"

const db = await database()

const inMinutes = (minutes: number) => new Date(Date.now() + minutes * 60_000)

const ask = async (purchaseId: string) => {
  const signed = { purchaseId, who: "ada", why: "goodwill", amountEuroCents: 400 }
  const [request] = await db.rows("ops.refund_purchase", signed, "mana_ops")
  return request
}

test("hands a request out, and again after a quarter of an hour unless it was closed", async () => {
  const { purchaseId, paymentIntentId } = await paid(db)
  const request = await ask(purchaseId)
  const due = (minutes: number) => db.call("stripe.due_refunds", { livemode: false, now: inMinutes(minutes) })
  expect(await due(0)).toEqual([{ requestId: request.id, purchaseId, paymentIntentId, amountEuroCents: 400 }])
  expect(await due(14)).toEqual([])
  expect(await due(16)).toHaveLength(1)
  expect(await db.query("select attempts from credits.refund_requests where id = $1", [request.id])).toEqual([
    { attempts: 2 }
  ])
  await db.call("stripe.close_refund", { requestId: request.id, refundId: "re_1" })
  expect(await due(60)).toEqual([])
})

test("each with its own payment, as they were asked for, whatever places the rows have", async () => {
  const first = await paid(db)
  const second = await paid(db, {}, first.userId)
  const requests = [await ask(second.purchaseId), await ask(first.purchaseId)]
  await db.query("update credits.refund_requests set who = who where id = $1", [requests[0]?.id])
  expect(await db.call("stripe.due_refunds", { livemode: false })).toEqual(
    [second, first].map(({ purchaseId, paymentIntentId }, n) => ({
      requestId: requests[n]?.id,
      purchaseId,
      paymentIntentId,
      amountEuroCents: 400
    }))
  )
})

test("the longest due first", async () => {
  const [first, second] = [await paid(db), await paid(db)]
  const [later, sooner] = [await ask(first.purchaseId), await ask(second.purchaseId)]
  const [longAgo, dayAfter] = [new Date("2020-01-01T00:00:00Z"), new Date("2020-01-02T00:00:00Z")]
  for (const [{ id }, at] of [
    [sooner, longAgo],
    [later, dayAfter]
  ] as const) {
    await db.query("update credits.refund_requests set next_attempt_at = $2 where id = $1", [id, at])
  }
  const due = async () => {
    const requests: ReadonlyArray<{ readonly requestId: string }> = await db.call("stripe.due_refunds", {
      livemode: false,
      limit: 1,
      now: dayAfter
    })
    return requests.map(({ requestId }) => requestId)
  }
  expect([await due(), await due(), await due()]).toEqual([[sooner.id], [later.id], []])
})

test("passes by a request that somebody is at", async () => {
  const [held, free] = [await ask((await paid(db)).purchaseId), await ask((await paid(db)).purchaseId)]
  const asking = await session(db)
  await asking.query("set lock_timeout = '1s'")
  const client = await db.pool.connect()
  try {
    await client.query("begin")
    await client.query("select from credits.refund_requests where id = $1 for update", [held.id])
    const due = await asking.call("stripe.due_refunds", { livemode: false })
    expect(due).toContainEqual(expect.objectContaining({ requestId: free.id }))
    expect(due).not.toContainEqual(expect.objectContaining({ requestId: held.id }))
  } finally {
    await client.query("rollback")
    client.release()
  }
  expect(await asking.call("stripe.due_refunds", { livemode: false })).toMatchObject([{ requestId: held.id }])
})

test("keeps to a mode and a limit, and hands nothing out twice at once", async () => {
  const purchases = await Promise.all(Array.from({ length: 6 }, () => paid(db)))
  await Promise.all(purchases.map(({ purchaseId }) => ask(purchaseId)))
  await begin(db, { livemode: true })
  expect(await db.call("stripe.due_refunds", { livemode: true })).toEqual([])
  const due = { livemode: false, limit: 2 }
  const handedOut = await Promise.all(Array.from({ length: 5 }, () => db.call("stripe.due_refunds", due)))
  const ids: ReadonlyArray<string> = handedOut.flat().map((each) => each.requestId)
  expect(new Set(ids).size).toBe(ids.length)
  expect(handedOut.every((each) => each.length <= 2)).toBe(true)
})

test.each([0, 1001, null])("refuses a limit of %s (CR001)", async (limit) => {
  expect(await db.refused("stripe.due_refunds", { livemode: false, limit })).toEqual(invalid("limit"))
})
