import { expect, test } from "vitest"
import { database } from "../../support/database.ts"

const db = await database()
const now = new Date("2027-01-31T10:00:00.000Z")
const later = (days: number) => new Date(now.getTime() + days * 86_400_000)

test("says what a user was charged and when", async () => {
  const userId = await db.userWith(90)
  await db.call("sync.activate", { userId, now })
  await db.call("sync.activate", { userId: await db.userWith(90), now })
  await db.call("sync.charge_due", { now: later(30) })
  expect(await db.rows("ops.sync_charges", { userId }, "mana_readonly")).toMatchObject([
    { period_start: later(28), credits: 30, created_at: later(30) },
    { period_start: now, credits: 30, created_at: now }
  ])
})
