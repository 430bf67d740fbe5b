import { expect, test } from "vitest"
import { database } from "../../support/database.ts"

const db = await database()
const now = new Date("2027-01-31T10:00:00.000Z")
const later = (days: number) => new Date(now.getTime() + days * 86_400_000)
const signed = { who: "ada", why: "ticket 7" }

test("says who is paused, since when, by whom and why", async () => {
  const broke = await db.userWith(30)
  const stopped = await db.userWith(500)
  await db.call("sync.activate", { userId: broke, now })
  await db.call("sync.activate", { userId: await db.userWith(500), now })
  await db.call("sync.activate", { userId: stopped, now })
  await db.call("sync.charge_due", { now: later(28) })
  await db.rows("ops.pause_sync", { userId: stopped, ...signed, now: later(29) }, "mana_ops")
  await db.call("credits.reserve", { userId: stopped, amount: 40, reason: "a call" })
  const rows = await db.rows("ops.sync_paused", {}, "mana_readonly")
  expect(rows).toMatchObject([
    { user_id: stopped, paused_at: later(29), paused_by: "ada", paused_why: "ticket 7", available: 400 },
    { user_id: broke, paused_at: later(28), paused_by: null, paused_why: "not enough credits", available: 0 }
  ])
})

test("the last paused first, then by user, whatever place the row has", async () => {
  const users = ["x dan", "x ann", "x cid", "x bob"]
  const pausedAfter: Readonly<Record<string, number>> = { "x dan": 2, "x ann": 1, "x cid": 3, "x bob": 2 }
  for (const userId of users) {
    await db.call("credits.grant", { userId, amount: 30, reason: "test", referenceId: "first" })
    await db.call("sync.activate", { userId, now })
    await db.rows("ops.pause_sync", { userId, ...signed, now: later(pausedAfter[userId] ?? 0) }, "mana_ops")
  }
  const rows: ReadonlyArray<{ readonly user_id: string }> = await db.rows("ops.sync_paused", {}, "mana_readonly")
  const order = rows.map(({ user_id }) => user_id).filter((userId) => users.includes(userId))
  expect(order).toEqual(["x cid", "x bob", "x dan", "x ann"])
})
