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
