import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { badTexts, invalid } from "../../support/refusals.ts"
import { session } from "../../support/session.ts"
import { chargesOf } from "../sync/subscribers.ts"

const db = await database()
const now = new Date("2027-01-31T10:00:00.000Z")
const later = (days: number) => new Date(now.getTime() + days * 86_400_000)
const signed = { who: "ada", why: "ticket 7" }

test("pauses, signed: no charge, no resuming by itself", async () => {
  const userId = await db.userWith(100)
  await db.call("sync.activate", { userId, autoResume: true, now })
  const [paused] = await db.rows("ops.pause_sync", { userId, ...signed, now: later(3) }, "mana_ops")
  expect(paused).toMatchObject({
    status: "paused",
    paused_at: later(3),
    paused_by: "ada",
    paused_why: "ticket 7",
    next_charge_at: null
  })
  await db.call("credits.grant", { userId, amount: 100, reason: "test", referenceId: "more", now: later(40) })
  await db.call("sync.charge_due", { now: later(50) })
  expect(await chargesOf(db, userId)).toHaveLength(1)
  const events = await db.query("select type, data from credits.events where user_id = $1 order by id desc limit 1", [
    userId
  ])
  expect(events).toEqual([{ type: "sync.paused", data: { reason: "by_hand", by: "ada", why: "ticket 7" } }])
})

test("makes a pause for want of credits one by hand; since when stays", async () => {
  const userId = await db.userWith(30)
  await db.call("sync.activate", { userId, now })
  await db.call("sync.charge_due", { now: later(28) })
  const [paused] = await db.rows("ops.pause_sync", { userId, ...signed, now: later(30) }, "mana_ops")
  expect(paused).toMatchObject({ paused_at: later(28), paused_by: "ada" })
})

test("waits for whoever changes that balance, and for nobody else", async () => {
  const [userId, other] = [await db.userWith(30), await db.userWith(30)]
  await db.call("sync.activate", { userId, now })
  const [debiting, pausing] = [await session(db), await session(db, "mana_ops")]
  const debit = (whose: string) =>
    debiting.call("credits.grant", { userId: whose, amount: 1, reason: "test", referenceId: "meanwhile" })
  await debiting.query("begin")
  await debit(other)
  await pausing.query("set lock_timeout = '1s'")
  expect(await pausing.call("ops.pause_sync", { userId, ...signed, now: later(1) })).toEqual(
    expect.stringContaining("paused")
  )
  await debit(userId)
  await pausing.query("set lock_timeout = 0")
  const pausedAgain = pausing.call("ops.pause_sync", { userId, ...signed, now: later(2) })
  await pausing.waitsFor(debiting)
  await debiting.query("commit")
  expect(await pausedAgain).toEqual(expect.stringContaining("paused"))
})

test("is signed (CR001), and for people, not for the service (42501)", async () => {
  const userId = await db.userWith(30)
  await db.call("sync.activate", { userId })
  const refused = (args: object, role?: "mana_ops") =>
    db.refused("ops.pause_sync", { userId, ...signed, ...args }, role)
  for (const { text } of badTexts(128)) expect(await refused({ who: text }, "mana_ops")).toEqual(invalid("who"))
  for (const { text } of badTexts(500)) expect(await refused({ why: text }, "mana_ops")).toEqual(invalid("why"))
  expect(await refused({})).toMatchObject({ sqlstate: "42501" })
})
