import { beforeEach, expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { badTexts, invalid } from "../../support/refusals.ts"

const db = await database()

const setThreshold = (credits: number | null) =>
  db.rows("ops.set_low_balance_threshold", { credits, who: "ada", why: "test" }, "mana_ops")

const said = async (userId: string) => {
  const rows = await db.query("select data from credits.events where user_id = $1 and type = 'credits.low_balance'", [
    userId
  ])
  return rows.map((row) => row.data)
}
const use = (userId: string, amount: number) =>
  db.call("credits.use", { userId, amount, appId: "chat", description: "test" })

beforeEach(() => setThreshold(20))

test("credits.low_balance is said once, when a debit crosses it; again after the balance was back above", async () => {
  const userId = await db.userWith(30)
  await use(userId, 10)
  expect(await said(userId)).toEqual([])
  await use(userId, 1)
  await use(userId, 1)
  expect(await said(userId)).toEqual([{ balance: 19, threshold: 20 }])
  await db.call("credits.grant", { userId, amount: 2, reason: "test", referenceId: "more" })
  await use(userId, 5)
  expect(await said(userId)).toEqual([
    { balance: 19, threshold: 20 },
    { balance: 15, threshold: 20 }
  ])
})

test("by a hold that is captured, not by one that is made", async () => {
  const userId = await db.userWith(30)
  const { reservationId } = await db.call("credits.reserve", { userId, amount: 15, reason: "test" })
  expect(await said(userId)).toEqual([])
  await db.call("credits.commit", { reservationId })
  expect(await said(userId)).toEqual([{ balance: 15, threshold: 20 }])
})

test("by a sync charge", async () => {
  const userId = await db.userWith(40)
  await db.call("sync.activate", { userId })
  expect(await said(userId)).toEqual([{ balance: 10, threshold: 20 }])
})

test("by nothing while no threshold is set", async () => {
  await setThreshold(null)
  const userId = await db.userWith(30)
  await use(userId, 30)
  expect(await said(userId)).toEqual([])
})

test("is signed, for as many credits as an amount may have, or none (CR001)", async () => {
  const [settings] = await setThreshold(7)
  expect(settings).toMatchObject({ low_balance_threshold: 7, changed_by: "ada", changed_why: "test" })
  expect(settings.changed_at).toBeInstanceOf(Date)
  const set = (args: object) =>
    db.refused("ops.set_low_balance_threshold", { credits: 1, who: "ada", why: "test", ...args }, "mana_ops")
  for (const { text } of badTexts(128)) expect(await set({ who: text })).toEqual(invalid("who"))
  for (const credits of [0, -1, 1_000_000_001]) expect(await set({ credits })).toEqual(invalid("credits"))
})
