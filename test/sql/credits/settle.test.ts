/** Sync that paused for want of credits and goes on by itself: whatever brings them, in the same transaction. */
import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { dispute, paid, send } from "../../support/stripe.ts"
import { chargesOf, eventsOf } from "../sync/subscribers.ts"

const db = await database()
const start = new Date("2027-01-31T10:00:00.000Z")
const pausedAt = new Date("2027-03-01T00:00:00.000Z")
const now = new Date("2027-03-20T15:00:00.000Z")

/** Paused since `pausedAt`, with so many credits left; 40 were spent, so that there is something to refund. */
const paused = async (left: number, autoResume = true) => {
  const userId = await db.userWith(70 + left)
  await db.call("sync.activate", { userId, autoResume, now: start })
  const { transaction } = await db.call("credits.use", { userId, amount: 40, appId: "chat", description: "test" })
  await db.call("sync.charge_due", { now: pausedAt })
  expect(await db.call("sync.status", { userId })).toMatchObject({ pausedAt: pausedAt.toISOString(), autoResume })
  return { userId, transactionId: transaction.id }
}

/** What has become of it: since when it is paid, whether it is paused, and the last things said of it. */
const outcome = async (userId: string) => {
  const { active, pausedAt: since, nextChargeAt } = await db.call("sync.status", { userId })
  const charges = await chargesOf(db, userId)
  const events = await eventsOf(db, userId)
  return {
    active,
    pausedAt: since,
    nextChargeAt,
    charged: charges.map((charge) => charge.period_start),
    said: events.filter((type) => type.startsWith("sync.")).slice(-2)
  }
}

const resumed = {
  active: true,
  pausedAt: null,
  nextChargeAt: "2027-04-20T15:00:00.000Z",
  charged: [start, now],
  said: ["sync.resumed", "sync.charged"]
}

const stillPaused = {
  active: false,
  pausedAt: pausedAt.toISOString(),
  nextChargeAt: null,
  charged: [start],
  said: ["sync.charged", "sync.paused"]
}

test("a grant; its answer is the balance afterwards", async () => {
  const { userId } = await paused(10)
  const granted = await db.call("credits.grant", { userId, amount: 25, reason: "test", referenceId: "more", now })
  expect(granted).toMatchObject({ newBalance: 5 })
  expect(await outcome(userId)).toEqual(resumed)
})

test("a refund; its answer is the balance afterwards", async () => {
  const { userId, transactionId } = await paused(10)
  const refund = { userId, amount: 20, description: "test", transactionId, idempotencyKey: "k", now }
  const refunded = await db.call("credits.refund", refund)
  expect(refunded).toMatchObject({ transaction: { balanceAfter: 30 }, newBalance: { balance: 0 } })
  expect(await outcome(userId)).toEqual(resumed)
  expect(await db.call("credits.refund", refund)).toEqual({ ...refunded, replayed: true })
})

test("a gift redeemed", async () => {
  const { userId } = await paused(0)
  const giver = await db.userWith(50)
  const { code } = await db.call("gifts.create", { userId: giver, totalCredits: 50, now })
  const redeemed = await db.call("gifts.redeem", { userId, code, now })
  expect(redeemed).toMatchObject({ creditsReceived: 50, newBalance: 20 })
  expect(await outcome(userId)).toEqual(resumed)
})

test("a grant and an adjustment by hand", async () => {
  const signed = { who: "ada", why: "test", now }
  const first = await paused(10)
  await db.rows("ops.grant", { userId: first.userId, amount: 30, ...signed }, "mana_ops")
  expect(await outcome(first.userId)).toEqual(resumed)
  const second = await paused(10)
  await db.rows("ops.adjust", { userId: second.userId, amount: 30, ...signed }, "mana_ops")
  expect(await outcome(second.userId)).toEqual(resumed)
})

/** Paused with 40 credits, all of them held. */
const pausedWithHold = async (holds: ReadonlyArray<number>) => {
  const userId = await db.userWith(70)
  await db.call("sync.activate", { userId, autoResume: true, now: start })
  const ids = []
  for (const amount of holds) {
    const { reservationId } = await db.call("credits.reserve", {
      userId,
      amount,
      reason: "test",
      expiresInSeconds: 3600,
      now: pausedAt
    })
    ids.push(reservationId)
  }
  await db.call("sync.charge_due", { now: pausedAt })
  return { userId, ids }
}

test("a hold released; its answer is the balance afterwards", async () => {
  const { userId, ids } = await pausedWithHold([40])
  expect(await db.call("credits.release", { reservationId: ids[0], now })).toEqual({ balance: 10 })
  expect(await outcome(userId)).toEqual(resumed)
})

test("a hold committed for less; its answer is the balance afterwards", async () => {
  const { userId, ids } = await pausedWithHold([40])
  const soon = new Date(pausedAt.getTime() + 60_000)
  const committed = await db.call("credits.commit", { reservationId: ids[0], amount: 3, now: soon })
  expect(committed).toMatchObject({ balance: 7 })
  expect(await db.call("sync.status", { userId })).toMatchObject({ active: true })
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 7, held: 0 })
})

test("holds that expire", async () => {
  const { userId } = await pausedWithHold([20, 20])
  await db.call("credits.expire_reservations", { now })
  expect(await outcome(userId)).toEqual(resumed)
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 10, held: 0 })
})

test("not before there is enough, holds taken off", async () => {
  const { userId } = await paused(0)
  await db.call("credits.grant", { userId, amount: 20, reason: "test", referenceId: "held", now })
  await db.call("credits.reserve", { userId, amount: 20, reason: "test", now })
  await db.call("credits.grant", { userId, amount: 29, reason: "test", referenceId: "a", now })
  expect(await outcome(userId)).toEqual(stillPaused)
  expect(await db.query("select from credits.sync_charge_errors where user_id = $1", [userId])).toEqual([])
  await db.call("credits.grant", { userId, amount: 1, reason: "test", referenceId: "b", now })
  expect(await outcome(userId)).toEqual(resumed)
})

test("not unless autoResume was chosen; it can be chosen while paused", async () => {
  const { userId } = await paused(0, false)
  await db.call("credits.grant", { userId, amount: 100, reason: "test", referenceId: "a", now })
  expect(await outcome(userId)).toEqual(stillPaused)
  await db.call("sync.change_interval", { userId, interval: "monthly", autoResume: true, now })
  expect(await outcome(userId)).toEqual(stillPaused)
  await db.call("credits.grant", { userId, amount: 1, reason: "test", referenceId: "b", now })
  expect(await outcome(userId)).toEqual(resumed)
})

test("not while it is paused by hand", async () => {
  const { userId } = await paused(0)
  await db.rows("ops.pause_sync", { userId, who: "ada", why: "a complaint", now }, "mana_ops")
  await db.call("credits.grant", { userId, amount: 100, reason: "test", referenceId: "a", now })
  expect(await outcome(userId)).toEqual({ ...stillPaused, said: ["sync.paused", "sync.paused"] })
})

test("not while it is a gift", async () => {
  const { userId } = await paused(0)
  await db.call("sync.gift", { userId, by: "admin-1", now })
  await db.call("credits.grant", { userId, amount: 100, reason: "test", referenceId: "a", now })
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 100 })
  expect(await chargesOf(db, userId)).toHaveLength(1)
  expect(await db.query("select from credits.sync_charge_errors where user_id = $1", [userId])).toEqual([])
})

test("a broken subscription doesn't turn the credits away", async () => {
  const { userId } = await paused(0)
  await db.query(`create function public.poison() returns trigger language plpgsql as $$ begin
    raise exception 'no charge today'; end $$`)
  await db.query(
    "create trigger poison before insert on credits.sync_charges for each row execute function public.poison()"
  )
  expect(await db.call("credits.grant", { userId, amount: 100, reason: "test", referenceId: "a", now })).toMatchObject({
    newBalance: 100
  })
  expect(await outcome(userId)).toEqual(stillPaused)
  expect(await db.rows("ops.sync_errors", {}, "mana_ops")).toMatchObject([
    { user_id: userId, message: "no charge today" }
  ])
  await db.query("drop function public.poison() cascade")
  await db.call("credits.grant", { userId, amount: 1, reason: "test", referenceId: "b", now })
  expect(await outcome(userId)).toEqual(resumed)
  expect(await db.rows("ops.sync_errors", {}, "mana_ops")).toEqual([])
})

test("the server's trouble ends the grant as well, and nobody is recorded as broken", async () => {
  const { userId } = await paused(0)
  await db.query(`create function public.trouble() returns trigger language plpgsql as $$ begin
    raise 'no disk' using errcode = '53100'; end $$`)
  await db.query(
    "create trigger trouble before insert on credits.sync_charges for each row execute function public.trouble()"
  )
  const grant = { userId, amount: 100, reason: "test", referenceId: "a", now }
  expect(await db.refused("credits.grant", grant)).toMatchObject({ sqlstate: "53100" })
  await db.query("drop function public.trouble() cascade")
  await db.call("credits.grant", grant)
  expect(await outcome(userId)).toEqual(resumed)
})

/** Before now: Stripe's events are taken when they are taken. */
const ago = (days: number) => new Date(Date.now() - days * 86_400_000)

test("a purchase", async () => {
  const userId = await db.userWith(30)
  await db.call("sync.activate", { userId, autoResume: true, now: ago(40) })
  await db.call("sync.charge_due", { now: ago(5) })
  await paid(db, { packageId: "credits_500" }, userId)
  expect(await db.call("sync.status", { userId })).toMatchObject({ active: true, pausedAt: null })
  expect(await db.call("credits.balance", { userId })).toMatchObject({ balance: 470 })
})

test("debts come first", async () => {
  const userId = await db.userWith(30)
  await db.call("sync.activate", { userId, autoResume: true, now: ago(40) })
  const purchase = await paid(db, { packageId: "credits_500" }, userId)
  await db.call("credits.use", { userId, amount: 500, appId: "chat", description: "test" })
  await send(db, dispute(purchase, "closed", { status: "lost" }))
  await db.call("sync.charge_due", { now: ago(5) })
  const grant = (amount: number) =>
    db.call("credits.grant", { userId, amount, reason: "test", referenceId: String(amount) })
  expect(await grant(520)).toMatchObject({ newBalance: 20 })
  expect(await db.call("sync.status", { userId })).toMatchObject({ active: false })
  expect(await grant(11)).toMatchObject({ newBalance: 1 })
  expect(await db.call("sync.status", { userId })).toMatchObject({ active: true })
})
