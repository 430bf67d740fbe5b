import { expect, test } from "vitest"
import { database } from "../../support/database.ts"

const db = await database()
const now = new Date("2027-01-31T10:00:00.000Z")
const later = (days: number) => new Date(now.getTime() + days * 86_400_000)

test("says who is to be charged by a time", async () => {
  const userId = await db.userWith(35)
  await db.call("sync.activate", { userId, now })
  await db.call("credits.reserve", { userId, amount: 2, reason: "a call", now })
  const due = (days: number) => db.rows("ops.sync_due", { now: later(days) }, "mana_readonly")
  expect(await due(27)).toEqual([])
  expect(await due(28)).toEqual([
    {
      user_id: userId,
      interval: "monthly",
      credits: 30,
      next_charge_at: later(28),
      available: 3,
      last_error: null
    }
  ])
})

test("the longest due first, then by user, whatever place the row has", async () => {
  const activated: ReadonlyArray<readonly [string, number]> = [
    ["x dan", 2],
    ["x ann", 3],
    ["x cid", 1],
    ["x bob", 2]
  ]
  for (const [userId, days] of activated) {
    await db.call("credits.grant", { userId, amount: 30, reason: "test", referenceId: "first" })
    await db.call("sync.activate", { userId, now: later(days) })
  }
  const rows: ReadonlyArray<{ readonly user_id: string }> = await db.rows(
    "ops.sync_due",
    { now: later(60) },
    "mana_readonly"
  )
  const order = rows.map(({ user_id }) => user_id).filter((userId) => userId.startsWith("x "))
  expect(order).toEqual(["x cid", "x bob", "x dan", "x ann"])
})
