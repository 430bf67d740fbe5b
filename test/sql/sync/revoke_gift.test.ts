import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { badTexts, invalid, refusedBy } from "../../support/refusals.ts"
import { holding, session } from "../../support/session.ts"
import { chargesOf, eventsOf } from "./subscribers.ts"

const db = await database()
const now = new Date("2027-01-31T10:00:00.000Z")
const later = (days: number) => new Date(now.getTime() + days * 86_400_000)

test("over a subscription: not charged while it lasts, nor for it afterwards", async () => {
  const userId = await db.userWith(1000)
  await db.call("sync.activate", { userId, now })
  await db.call("sync.gift", { userId, by: "admin-1", now: later(3) })
  await db.call("sync.charge_due", { now: later(100) })
  expect(await chargesOf(db, userId)).toHaveLength(1)

  await db.call("sync.revoke_gift", { userId, by: "admin-1", now: later(100) })
  await db.call("sync.charge_due", { now: later(101) })
  const charges = await chargesOf(db, userId)
  expect(charges.map((charge) => charge.period_start)).toEqual([now, later(100)])
  expect(await db.call("sync.status", { userId })).toMatchObject({
    active: true,
    nextChargeAt: "2027-06-11T10:00:00.000Z"
  })
  expect(await eventsOf(db, userId)).toEqual(["sync.activated", "sync.charged", "sync.charged"])
})

test("revoked with paid time left: the subscription goes on with its dates", async () => {
  const userId = await db.userWith(1000)
  await db.call("sync.activate", { userId, interval: "yearly", now })
  await db.call("sync.gift", { userId, by: "admin-1", now: later(3) })
  expect(await db.call("sync.revoke_gift", { userId, by: "admin-1", now: later(100) })).toMatchObject({
    active: true,
    nextChargeAt: "2028-01-31T10:00:00.000Z"
  })
})

test("revoked over one that paused for want of credits: resumes if they came meanwhile and autoResume is on", async () => {
  const userId = await db.userWith(30)
  await db.call("sync.activate", { userId, autoResume: true, now })
  await db.call("sync.charge_due", { now: later(30) })
  await db.call("sync.gift", { userId, by: "admin-1", now: later(31) })
  await db.call("credits.grant", { userId, amount: 50, reason: "test", referenceId: "more", now: later(32) })
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 50 })
  expect(await db.call("sync.revoke_gift", { userId, by: "admin-1", now: later(40) })).toMatchObject({ active: true })
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 20 })
})

test("no gift to revoke (CR104), nobody who revokes (CR001)", async () => {
  const userId = await db.userWith(0)
  expect(await db.refused("sync.revoke_gift", { userId, by: "admin-1" })).toEqual(refusedBy("CR104"))
  expect(await db.refused("sync.revoke_gift", { userId: "stranger", by: "admin-1" })).toEqual(refusedBy("CR104"))
  await db.call("sync.gift", { userId, by: "admin-1" })
  for (const { text } of badTexts(128)) {
    expect(await db.refused("sync.revoke_gift", { userId, by: text })).toEqual(invalid("by"))
  }
})

test("waits for the gift under way, and for nobody else's balance", async () => {
  const userId = await db.userWith(1)
  await holding(db, "select from credits.balances where user_id = $1 for update", [await db.userWith(1)])
  const [a, b] = [await session(db), await session(db)]
  await a.query("begin")
  await a.call("sync.gift", { userId, by: "admin-1", now })
  const revoked = b.call("sync.revoke_gift", { userId, by: "admin-2", now })
  await b.waitsFor(a)
  await a.query("commit")
  expect(await revoked).toMatchObject({ gifted: false, giftRevokedBy: "admin-2" })
})

test("a period that ends at that moment is over; one that ends a moment later isn't", async () => {
  const end = new Date("2027-02-28T10:00:00.000Z")
  for (const { at, nextChargeAt } of [
    { at: new Date(end.getTime() - 1), nextChargeAt: end.toISOString() },
    { at: end, nextChargeAt: end.toISOString() },
    { at: new Date(end.getTime() + 1), nextChargeAt: "2027-02-28T10:00:00.001Z" }
  ]) {
    const userId = await db.userWith(100)
    await db.call("sync.activate", { userId, now })
    await db.call("sync.gift", { userId, by: "admin-1", now: later(1) })
    await db.call("sync.revoke_gift", { userId, by: "admin-1", now: at })
    expect(await db.call("sync.status", { userId })).toMatchObject({ nextChargeAt })
    const [{ anchor }] = await db.query("select anchor from credits.sync_subscriptions where user_id = $1", [userId])
    expect(anchor).toEqual(at < end ? now : at)
  }
})

test("what lay underneath and isn't active is as it was, whenever its paid time ended", async () => {
  const userId = await db.userWith(30)
  await db.call("sync.activate", { userId, now })
  await db.call("sync.charge_due", { now: later(30) })
  const underneath = async () => {
    const [row] = await db.query(
      `select status, interval, anchor, months_paid, paid_until, paused_at, next_charge_at
       from credits.sync_subscriptions where user_id = $1`,
      [userId]
    )
    return row
  }
  const before = await underneath()
  expect(before).toMatchObject({ status: "paused", anchor: now })
  await db.call("sync.gift", { userId, by: "admin-1", now: later(31) })
  await db.call("sync.revoke_gift", { userId, by: "admin-1", now: later(40) })
  expect(await underneath()).toEqual(before)
})
