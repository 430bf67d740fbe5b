import { beforeAll, expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { badTexts, invalid } from "../../support/refusals.ts"

const db = await database()

const userId = "spender"
const day = (date: number, hour = 12) => new Date(Date.UTC(2026, 2, date, hour))

beforeAll(async () => {
  await db.call("credits.grant", { userId, amount: 1000, reason: "test", referenceId: "r" })
  for (const [date, appId, amount] of [
    [1, "chat", 1],
    [1, "chat", 2],
    [1, "picture", 4],
    [2, "chat", 8],
    [3, "picture", 16]
  ] as const) {
    await db.call("credits.use", { userId, amount, appId, description: "An answer", now: day(date) })
  }
})

const usage = (more: object = {}) => db.call("credits.usage", { userId, ...more })

test("answers by day, newest first", async () => {
  expect(await usage({ groupBy: "day" })).toEqual([
    { day: "2026-03-03", creditsUsed: 16, count: 1 },
    { day: "2026-03-02", creditsUsed: 8, count: 1 },
    { day: "2026-03-01", creditsUsed: 7, count: 3 }
  ])
})

test("answers by app", async () => {
  expect(await usage({ groupBy: "app" })).toEqual([
    { appId: "chat", creditsUsed: 11, count: 3 },
    { appId: "picture", creditsUsed: 20, count: 2 }
  ])
})

test("answers by day and app when not told", async () => {
  expect(await usage()).toEqual([
    { day: "2026-03-03", appId: "picture", creditsUsed: 16, count: 1 },
    { day: "2026-03-02", appId: "chat", creditsUsed: 8, count: 1 },
    { day: "2026-03-01", appId: "chat", creditsUsed: 3, count: 2 },
    { day: "2026-03-01", appId: "picture", creditsUsed: 4, count: 1 }
  ])
})

test("answers the days asked for, both ends included", async () => {
  expect(await usage({ groupBy: "app", from: day(2), to: day(3, 0) })).toEqual([
    { appId: "chat", creditsUsed: 8, count: 1 },
    { appId: "picture", creditsUsed: 16, count: 1 }
  ])
  expect(await usage({ from: day(4) })).toEqual([])
  expect(await usage({ from: day(3), to: day(1) })).toEqual([])
})

test("counts no refunds, grants or holds", async () => {
  const other = await db.userWith(10)
  await db.call("credits.refund", { userId: other, amount: 5, description: "Sorry", appId: "chat" })
  await db.call("credits.reserve", { userId: other, amount: 5, reason: "a call" })
  expect(await db.call("credits.usage", { userId: other })).toEqual([])
})

test("answers nothing for a user nobody has seen", async () => {
  expect(await db.call("credits.usage", { userId: "unheard of" })).toEqual([])
})

test.each([{ groupBy: "week" }, { groupBy: "" }])("refuses to group by '$groupBy' (CR001)", async ({ groupBy }) => {
  expect(await db.refused("credits.usage", { userId, groupBy })).toEqual(invalid("groupBy"))
})

test.each(badTexts(128))("refuses a user id that is $what (CR001)", async ({ text }) => {
  expect(await db.refused("credits.usage", { userId: text })).toEqual(invalid("userId"))
})
