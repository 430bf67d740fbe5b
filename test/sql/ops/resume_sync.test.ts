import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { badTexts, invalid, notEnough } from "../../support/refusals.ts"
import { session } from "../../support/session.ts"
import { chargesOf } from "../sync/subscribers.ts"

const db = await database()
const now = new Date("2027-01-31T10:00:00.000Z")
const later = (days: number) => new Date(now.getTime() + days * 86_400_000)
const signed = { who: "ada", why: "ticket 7" }

/** Paused by hand three days after `now`. */
const paused = async () => {
  const userId = await db.userWith(30)
  await db.call("sync.activate", { userId, autoResume: true, now })
  await db.rows("ops.pause_sync", { userId, ...signed, now: later(3) }, "mana_ops")
  return userId
}

test("within paid time: no charge, the dates stay, signed in the event", async () => {
  const userId = await paused()
  const [resumed] = await db.rows("ops.resume_sync", { userId, who: "eve", why: "solved", now: later(5) }, "mana_ops")
  expect(resumed).toMatchObject({ status: "active", next_charge_at: later(28), paused_by: null, auto_resume: true })
  expect(await chargesOf(db, userId)).toHaveLength(1)
  const events = await db.query("select type, data from credits.events where user_id = $1 order by id desc limit 1", [
    userId
  ])
  expect(events).toMatchObject([{ type: "sync.resumed", data: { by: "eve", why: "solved", amountCharged: 0 } }])
})

test("after it: a new period from now, if the credits suffice (CR002)", async () => {
  const userId = await paused()
  expect(await db.refused("ops.resume_sync", { userId, ...signed, now: later(31) }, "mana_ops")).toEqual(
    notEnough(30, 0)
  )
  await db.call("credits.grant", { userId, amount: 31, reason: "test", referenceId: "more", now: later(32) })
  const [resumed] = await db.rows("ops.resume_sync", { userId, ...signed, now: later(33) }, "mana_ops")
  expect(resumed).toMatchObject({ status: "active", anchor: later(33) })
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 1 })
})

test("waits for credits that are just coming in, and pays with them", async () => {
  const userId = await paused()
  const [granting, resuming] = [await session(db), await session(db, "mana_ops")]
  await granting.query("begin")
  await granting.call("credits.grant", { userId, amount: 31, reason: "test", referenceId: "more", now: later(32) })
  const resumed = resuming.call("ops.resume_sync", { userId, ...signed, now: later(33) })
  await resuming.waitsFor(granting)
  await granting.query("commit")
  expect(await resumed).toEqual(expect.stringContaining("active"))
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 1 })
})

test("is signed (CR001), and for people, not for the service (42501)", async () => {
  const userId = await db.userWith(30)
  await db.call("sync.activate", { userId })
  const refused = (args: object, role?: "mana_ops") =>
    db.refused("ops.resume_sync", { userId, ...signed, ...args }, role)
  for (const { text } of badTexts(128)) expect(await refused({ who: text }, "mana_ops")).toEqual(invalid("who"))
  for (const { text } of badTexts(500)) expect(await refused({ why: text }, "mana_ops")).toEqual(invalid("why"))
  expect(await refused({})).toMatchObject({ sqlstate: "42501" })
})
