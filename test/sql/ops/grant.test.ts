import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { badAmounts, badTexts, invalid } from "../../support/refusals.ts"

const db = await database()

const gift = { amount: 50, who: "Ada", why: "Outage of 1 March" }
const grant = async (args: object) => {
  const [row] = await db.rows("ops.grant", { ...args }, "mana_ops")
  return row
}

test("gives credits and keeps who and why in the ledger row, which it returns", async () => {
  const row = await grant({ userId: "new", ...gift })
  expect(row).toMatchObject({
    user_id: "new",
    seq: 1,
    type: "grant",
    amount: 50,
    counter_account: "promotions",
    description: "Outage of 1 March",
    metadata: { who: "Ada", why: "Outage of 1 March" },
    caller: "login_ops"
  })
  expect(await db.query("select * from credits.transactions where user_id = 'new'")).toEqual([row])
  expect(await db.balanceRow("new")).toMatchObject({ balance: 50, total_earned: 50, version: 1 })
})

test("gives again each time it is called", async () => {
  const userId = await db.userWith(0)
  await grant({ userId, ...gift })
  expect(await grant({ userId, ...gift })).toMatchObject({ seq: 2, balance_after: 100 })
})

test("takes a who and why with blanks around them, and keeps them without", async () => {
  const userId = await db.userWith(0)
  const why = "y".repeat(500)
  expect(await grant({ userId, ...gift, who: " Ada ", why: `  ${why}\n` })).toMatchObject({
    description: why,
    metadata: { who: "Ada", why }
  })
})

const blank = { what: "blank", text: " \t\n" }

test.each([...badTexts(128), blank])("refuses a who that is $what (CR001)", async ({ text }) => {
  expect(await db.refused("ops.grant", { userId: "u", ...gift, who: text }, "mana_ops")).toEqual(invalid("who"))
})

test.each([...badTexts(500), blank])("refuses a why that is $what (CR001)", async ({ text }) => {
  expect(await db.refused("ops.grant", { userId: "u", ...gift, why: text }, "mana_ops")).toEqual(invalid("why"))
})

test.each(badAmounts)("refuses an amount of $amount (CR001)", async ({ amount }) => {
  expect(await db.refused("ops.grant", { userId: "u", ...gift, amount }, "mana_ops")).toEqual(invalid("amount"))
})

test.each(badTexts(128))("refuses a user id that is $what (CR001)", async ({ text }) => {
  expect(await db.refused("ops.grant", { ...gift, userId: text }, "mana_ops")).toEqual(invalid("userId"))
})

test("isn't for the service (42501)", async () => {
  expect(await db.refused("ops.grant", { userId: "u", ...gift })).toMatchObject({ sqlstate: "42501" })
})
