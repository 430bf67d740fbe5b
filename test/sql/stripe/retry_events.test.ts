import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { invalid } from "../../support/refusals.ts"
import { session } from "../../support/session.ts"
import { begin, chargeRefunded, outbox, paymentIntent, send, standing } from "../../support/stripe.ts"

const db = await database()

const retry = (now: Date, limit?: number) => db.call("stripe.retry_events", { now, limit })
const inHours = (hours: number) => new Date(Date.now() + hours * 3_600_000)

test("applies a kept event once its purchase is known by other means", async () => {
  const purchase = await begin(db, { attached: false })
  const event = paymentIntent(purchase, "succeeded", { fields: { metadata: {} } })
  await send(db, event)
  expect(await retry(new Date())).toEqual({ applied: 0, kept: 0 }) // its time hasn't come
  expect(await retry(inHours(1))).toEqual({ applied: 0, kept: 1 })
  await db.query("update credits.purchases set payment_intent_id = $2 where id = $1", [
    purchase.purchaseId,
    purchase.paymentIntentId
  ])
  expect(await retry(inHours(2))).toEqual({ applied: 1, kept: 0 })
  expect(await standing(db, purchase)).toMatchObject({ status: "completed", balance: 1050 })
})

test("tries an event at the very moment that it said", async () => {
  const purchase = await begin(db, { checkout: true })
  const event = chargeRefunded(purchase, 1000)
  await send(db, event)
  const answers = await db.query(
    "select stripe.retry_events(next_attempt_at) as answer from credits.stripe_events where id = $1",
    [event.id]
  )
  expect(answers).toEqual([{ answer: { applied: 0, kept: 1 } }])
  await send(db, paymentIntent(purchase, "succeeded"))
})

test("tries for three days, less and less often, then leaves it to ops", async () => {
  const purchase = await begin(db, { checkout: true })
  const event = chargeRefunded(purchase, 1000)
  await send(db, event)
  const start = Date.now()
  const row = async () => {
    const [kept] = await db.query("select * from credits.stripe_events where id = $1", [event.id])
    return kept
  }
  const tried: Array<number> = []
  for (let attempt = 1; attempt < 14; attempt += 1) {
    const { next_attempt_at: next } = await row()
    tried.push(Math.round((next.getTime() - start) / 60_000))
    await retry(new Date(next.getTime() + 1)) // the row has microseconds
  }
  expect(tried).toEqual([2, 6, 14, 30, 62, 126, 254, 510, 1022, 1742, 2462, 3182, 3902])
  expect(await row()).toMatchObject({ outcome: "kept", attempts: 14, next_attempt_at: null })
  expect(await db.rows("ops.kept_events", {}, "mana_ops")).toContainEqual(
    expect.objectContaining({ event_id: event.id, reason: "purchase_unknown", next_attempt_at: null })
  )
  // Somebody looks into it.
  await send(db, paymentIntent(purchase, "succeeded"))
  expect(await standing(db, purchase)).toMatchObject({ status: "refunded" })
})

test("applies what happened first first, however it came", async () => {
  const purchase = await begin(db, { attached: false })
  const anonymous = { fields: { metadata: {} } }
  await send(
    db,
    paymentIntent(purchase, "succeeded", { at: 20, ...anonymous }),
    paymentIntent(purchase, "canceled", { at: 10, ...anonymous })
  )
  await db.query("update credits.purchases set payment_intent_id = $2 where id = $1", [
    purchase.purchaseId,
    purchase.paymentIntentId
  ])
  expect(await retry(inHours(1))).toEqual({ applied: 2, kept: 0 })
  expect(await outbox(db, purchase.userId)).toEqual(["purchase.failed", "purchase.completed"])
})

test("one poisoned event doesn't stop the others", async () => {
  const purchases = [await begin(db, { attached: false }), await begin(db, { attached: false })]
  for (const purchase of purchases) {
    await send(db, paymentIntent(purchase, "succeeded", { fields: { metadata: {} } }))
    await db.query("update credits.purchases set payment_intent_id = $2 where id = $1", [
      purchase.purchaseId,
      purchase.paymentIntentId
    ])
  }
  await db.query(
    `update credits.stripe_events set payload = jsonb_set(payload, '{data,object,amount}', '"lots"')
     where payment_intent_id = $1`,
    [purchases[0]?.paymentIntentId]
  )
  expect(await retry(inHours(1))).toEqual({ applied: 1, kept: 1 })
  const [poisoned] = await db.query("select * from credits.stripe_events where payment_intent_id = $1", [
    purchases[0]?.paymentIntentId
  ])
  expect(poisoned).toMatchObject({ outcome: "kept", reason: "error", detail: expect.stringContaining("22P02") })
  await db.query("delete from credits.stripe_events where id = $1", [poisoned.id])
})

test("takes no more than its limit, the longest due first", async () => {
  const purchases = await Promise.all([begin(db, { checkout: true }), begin(db, { checkout: true })])
  const [sooner, later] = purchases.map((purchase) => chargeRefunded(purchase, 1000))
  for (const event of [sooner, later]) if (event !== undefined) await send(db, event)
  // The one that is due sooner stands behind the other.
  await db.query(
    "update credits.stripe_events set next_attempt_at = next_attempt_at - interval '1 day' where id = $1",
    [sooner?.id]
  )
  const attempts = async () => {
    const rows = await db.query("select id, attempts from credits.stripe_events where id in ($1, $2)", [
      sooner?.id,
      later?.id
    ])
    return [sooner, later].map((event) => rows.find(({ id }) => id === event?.id)?.attempts)
  }
  expect(await retry(inHours(1), 1)).toEqual({ applied: 0, kept: 1 })
  expect(await attempts()).toEqual([2, 1])
  expect(await retry(inHours(1), 1)).toEqual({ applied: 0, kept: 1 })
  expect(await attempts()).toEqual([2, 2])
})

test("takes its balances in order, whatever order their rows have", async () => {
  const [first, second] = ["a user first in order", "b user second in order"]
  const purchases = [await begin(db, {}, second), await begin(db, {}, first)]
  for (const purchase of purchases) await send(db, paymentIntent(purchase, "succeeded", { apiVersion: "2020-01-01" }))
  const [holder, retrying] = [await session(db), await session(db)]
  await holder.query("begin")
  await holder.call("credits.grant", { userId: first, amount: 1, reason: "test", referenceId: "meanwhile" })
  const retried = retrying.call("stripe.retry_events", { now: inHours(1) })
  await retrying.waitsFor(holder)
  // Waiting for the first, it has nothing of the second.
  await db.query("select from credits.balances where user_id = $1 for update nowait", [second])
  await holder.query("commit")
  expect(await retried).toMatchObject({ applied: 0 })
  await db.query("delete from credits.stripe_events where user_id in ($1, $2)", [first, second])
})

test("passes by an event that somebody is at, and waits for no balance but its events'", async () => {
  const [held, free] = [await begin(db, { checkout: true }), await begin(db, { checkout: true })]
  for (const purchase of [held, free]) await send(db, chargeRefunded(purchase, 1000))
  const retrying = await session(db)
  await retrying.query("set lock_timeout = '1s'")
  const client = await db.pool.connect()
  try {
    await client.query("begin")
    await client.query("select from credits.stripe_events where payment_intent_id = $1 for update", [
      held.paymentIntentId
    ])
    // Somebody else, who has bought something, too.
    const { userId } = await begin(db)
    await client.query("select from credits.balances where user_id = $1 for update", [userId])
    expect(await retrying.call("stripe.retry_events", { now: inHours(1) })).toEqual({ applied: 0, kept: 1 })
  } finally {
    await client.query("rollback")
    client.release()
  }
  for (const purchase of [held, free]) await send(db, paymentIntent(purchase, "succeeded"))
  await retry(inHours(2))
})

test("has every balance before it applies the first event", async () => {
  const [first, second] = ["a user whose event is later", "b user whose event is sooner"]
  for (const [at, userId] of [second, first].entries()) {
    await send(db, paymentIntent(await begin(db, {}, userId), "succeeded", { at, apiVersion: "2020-01-01" }))
  }
  const [holder, retrying] = [await session(db), await session(db)]
  await holder.query("begin")
  await holder.call("credits.grant", { userId: second, amount: 1, reason: "test", referenceId: "meanwhile" })
  const retried = retrying.call("stripe.retry_events", { now: inHours(1) })
  await retrying.waitsFor(holder)
  const free = "select from credits.balances where user_id = $1 for update nowait"
  await expect(db.query(free, [first])).rejects.toMatchObject({ code: "55P03" })
  await holder.query("commit")
  expect(await retried).toMatchObject({ applied: 0 })
  await db.query("delete from credits.stripe_events where user_id in ($1, $2)", [first, second])
})

test("many at once don't wait for each other and apply each event once", async () => {
  const purchases = await Promise.all(Array.from({ length: 10 }, () => begin(db, { attached: false })))
  for (const purchase of purchases) {
    await send(db, paymentIntent(purchase, "succeeded", { fields: { metadata: {} } }))
    await db.query("update credits.purchases set payment_intent_id = $2 where id = $1", [
      purchase.purchaseId,
      purchase.paymentIntentId
    ])
  }
  await Promise.all(Array.from({ length: 8 }, () => retry(inHours(1))))
  await retry(inHours(1))
  for (const purchase of purchases) {
    expect(await standing(db, purchase)).toMatchObject({ status: "completed", balance: 1050 })
  }
})

test.each([0, 1001, null])("refuses a limit of %s (CR001)", async (limit) => {
  expect(await db.refused("stripe.retry_events", { limit })).toEqual(invalid("limit"))
})
