import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { badTexts, invalid, notEnough } from "../../support/refusals.ts"

const db = await database()

const correction = { amount: 50, who: "Ada", why: "Charged twice, ticket 7" }
const adjust = async (args: object) => {
  const [row] = await db.rows("ops.adjust", { ...args }, "mana_ops")
  return row
}

test("corrects a balance upwards and keeps who and why in the ledger row, which it returns", async () => {
  const userId = await db.userWith(100)
  const row = await adjust({ userId, ...correction })
  expect(row).toMatchObject({
    user_id: userId,
    seq: 2,
    type: "adjustment",
    amount: 50,
    counter_account: "adjustments",
    description: "Charged twice, ticket 7",
    metadata: { who: "Ada", why: "Charged twice, ticket 7" },
    caller: "login_ops"
  })
  expect(await db.query("select * from credits.transactions where user_id = $1 and seq = 2", [userId])).toEqual([row])
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 150, total_earned: 150, total_spent: 0 })
})

test("corrects a balance downwards, to nothing, and isn't usage", async () => {
  const userId = await db.userWith(100)
  expect(await adjust({ userId, ...correction, amount: -100 })).toMatchObject({ balance_after: 0 })
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 0, total_earned: 100, total_spent: 100 })
  expect(await db.call("credits.usage", { userId })).toEqual([])
})

test("takes no more than is there (CR002)", async () => {
  const userId = await db.userWith(100)
  expect(await db.refused("ops.adjust", { userId, ...correction, amount: -101 }, "mana_ops")).toEqual(
    notEnough(101, 100)
  )
})

test("takes nothing that is held (CR002)", async () => {
  const userId = await db.userWith(100)
  await db.call("credits.reserve", { userId, amount: 80, reason: "a call" })
  expect(await db.refused("ops.adjust", { userId, ...correction, amount: -21 }, "mana_ops")).toEqual(notEnough(21, 20))
  expect(await adjust({ userId, ...correction, amount: -20 })).toMatchObject({ balance_after: 80 })
})

test("takes nothing from a user without a balance, and makes no row for them (CR002)", async () => {
  const taking = { userId: "unheard of", ...correction, amount: -1 }
  expect(await db.refused("ops.adjust", taking, "mana_ops")).toEqual(notEnough(1, 0))
})

test.each([
  { amount: null },
  { amount: 0 },
  { amount: 1_000_000_001 },
  { amount: -1_000_000_001 },
  { amount: "-9223372036854775808" }
])("refuses an amount of $amount (CR001)", async ({ amount }) => {
  const userId = await db.userWith(100)
  expect(await db.refused("ops.adjust", { userId, ...correction, amount }, "mana_ops")).toEqual(invalid("amount"))
})

const blank = { what: "blank", text: " \t\n" }

test.each([...badTexts(128), blank])("refuses a who that is $what (CR001)", async ({ text }) => {
  expect(await db.refused("ops.adjust", { userId: "u", ...correction, who: text }, "mana_ops")).toEqual(invalid("who"))
})

test.each([...badTexts(500), blank])("refuses a why that is $what (CR001)", async ({ text }) => {
  expect(await db.refused("ops.adjust", { userId: "u", ...correction, why: text }, "mana_ops")).toEqual(invalid("why"))
})

test.each(badTexts(128))("refuses a user id that is $what (CR001)", async ({ text }) => {
  expect(await db.refused("ops.adjust", { ...correction, userId: text }, "mana_ops")).toEqual(invalid("userId"))
})

test("isn't for the service (42501)", async () => {
  expect(await db.refused("ops.adjust", { userId: "u", ...correction })).toMatchObject({ sqlstate: "42501" })
})
