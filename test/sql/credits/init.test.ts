import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { badTexts, invalid } from "../../support/refusals.ts"
import { session } from "../../support/session.ts"

const db = await database()
const zeros = { balance: 0, held: 0, debt: 0, totalEarned: 0, totalSpent: 0 }

test("opens an account with zeros", async () => {
  expect(await db.call("credits.init", { userId: "new" })).toEqual(zeros)
  expect(await db.balanceRow("new")).toMatchObject({ balance: 0, held: 0, version: 0 })
})

test("leaves an account that is there as it is", async () => {
  const userId = await db.userWith(7)
  const before = await db.balanceRow(userId)
  expect(await db.call("credits.init", { userId })).toEqual({ ...zeros, balance: 7, totalEarned: 7 })
  expect(await db.balanceRow(userId)).toEqual(before)
})

test("opens one account when many ask at once", async () => {
  const answers = await Promise.all(Array.from({ length: 20 }, () => db.call("credits.init", { userId: "crowded" })))
  expect(answers).toEqual(Array.from({ length: 20 }, () => zeros))
})

test("holds the account that somebody else opened while it waited, until it is over", async () => {
  const [a, b] = [await session(db), await session(db)]
  await a.query("begin")
  await a.call("credits.init", { userId: "opened" })
  await b.query("begin")
  const second = b.call("credits.init", { userId: "opened" })
  await b.waitsFor(a)
  await a.query("commit")
  expect(await second).toEqual(zeros)
  expect(await db.query("select from credits.balances where user_id = 'opened' for update skip locked")).toEqual([])
  await b.query("commit")
})

test.each(badTexts(128))("refuses a user id that is $what (CR001)", async ({ text }) => {
  expect(await db.refused("credits.init", { userId: text })).toEqual(invalid("userId"))
})
