import { expect, test } from "vitest"
import { database } from "../../support/database.ts"

const db = await database()
const now = new Date("2027-01-31T10:00:00.000Z")
const later = (days: number) => new Date(now.getTime() + days * 86_400_000)

test("says who is to be charged by a time", async () => {
  const userId = await db.userWith(35)
  await db.call("sync.activate", { userId, now })
  const due = (days: number) => db.rows("ops.sync_due", { now: later(days) }, "mana_readonly")
  expect(await due(27)).toEqual([])
  expect(await due(28)).toEqual([
    {
      user_id: userId,
      interval: "monthly",
      credits: 30,
      next_charge_at: later(28),
      available: 5,
      last_error: null
    }
  ])
})
