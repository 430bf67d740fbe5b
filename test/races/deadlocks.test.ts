import { expect, test } from "vitest"
import { database } from "../support/database.ts"
import { holding, session } from "../support/session.ts"
import { begin, paymentIntent, send } from "../support/stripe.ts"

/** Two sessions that would wait for each other if locks were taken as they come: step by step, nobody is a victim. */
const db = await database()

const future = new Date("2027-03-01T12:00:00Z")

const inOrder = async (...amounts: ReadonlyArray<number>) =>
  (await Promise.all(amounts.map((amount) => db.userWith(amount)))).toSorted()

test("a retry of Stripe's events that learns of a purchase meanwhile doesn't reach back for its balance", async () => {
  const [first = "", second = ""] = await inOrder(100, 100)
  const known = await begin(db, {}, second)
  const unknown = await begin(db, { attached: false }, first)
  const anonymous = { fields: { metadata: {} } }
  // Kept both: one by its version, the other because nobody knows whose it is.
  await send(db, paymentIntent(known, "succeeded", { apiVersion: "2020-01-01" }))
  await send(db, paymentIntent(unknown, "succeeded", anonymous))

  const holder = await holding(db, "select from credits.balances where user_id = $1 for update", [second])
  const [retry, batch] = [await session(db), await session(db)]
  const retried = retry.call("stripe.retry_events", { now: future })
  await retry.waitsFor(holder)
  await db.call("stripe.attach_payment", {
    purchaseId: unknown.purchaseId,
    paymentIntentId: unknown.paymentIntentId
  })
  const items = [first, second].map((userId) => ({ userId, amount: 1, appId: "chat", description: "one" }))
  const debited = batch.call("credits.use_many", { items })
  await batch.waitsFor(retry)
  await holder.release()

  expect(await debited).toMatchObject({ results: [{ ok: true }, { ok: true }] })
  expect(await retried).toEqual({ applied: 0, kept: 2 })
  // The next run has it.
  expect(await db.call("stripe.retry_events", { now: future })).toMatchObject({ applied: 1 })
  expect(await db.balanceRow(first)).toMatchObject({ balance: 99 + unknown.credits })
})

test("two events of a user delivered at once, the later one first, don't wait for each other", async () => {
  const userId = await db.userWith(100)
  for (const name of ["first", "second"]) {
    await db.query("select credits.emit($1, 'credits.low_balance', $2, now())", [userId, { name }])
  }
  const claim = async () => {
    const claimed: ReadonlyArray<{ readonly id: number; readonly userId: string }> = await db.call("events.claim", {})
    return claimed.find((event) => event.userId === userId)?.id ?? 0
  }
  const earlier = await claim()
  await db.call("events.delivered", { userId, id: earlier })
  const later = await claim()
  // Somebody sends the earlier one again while the later one is on its way.
  await db.rows("ops.replay_event", { userId, id: earlier }, "mana_ops")
  expect(await claim()).toBe(earlier)

  const holder = await holding(db, "select from credits.events where user_id = $1 and id = $2 for update", [
    userId,
    earlier
  ])
  const [a, b] = [await session(db), await session(db)]
  const first = a.call("events.delivered", { userId, id: earlier })
  await a.waitsFor(holder)
  const second = b.call("events.delivered", { userId, id: later })
  await b.waitsFor(a)
  await holder.release()
  expect([await first, await second]).toEqual([{ delivered: true }, { delivered: true }])
  const left = await db.query("select from credits.events where user_id = $1 and delivered_at is null", [userId])
  expect(left).toEqual([])
})
