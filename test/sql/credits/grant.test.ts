import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { badAmounts, badTexts, invalid } from "../../support/refusals.ts"

const db = await database()

const welcome = { amount: 50, reason: "welcome", referenceId: "welcome-2026" }

test("gives credits to a user nobody has seen before", async () => {
  const answer = await db.call("credits.grant", { userId: "new", ...welcome })
  expect(answer).toEqual({ alreadyGranted: false, newBalance: 50, transactionId: expect.any(String) })
  expect(await db.balanceRow("new")).toMatchObject({ balance: 50, total_earned: 50, total_spent: 0, version: 1 })
})

test("writes down why, for what and by whom", async () => {
  const userId = await db.userWith(0)
  await db.call("credits.grant", { userId, ...welcome, caller: "service:onboarding" })
  await db.call("credits.grant", { userId, ...welcome, referenceId: "r2", description: "Have fun" })
  const rows = await db.query(
    "select type, counter_account, description, metadata, caller from credits.transactions where user_id = $1",
    [userId]
  )
  const row = { type: "grant", counter_account: "promotions" }
  expect(rows).toEqual([
    {
      ...row,
      description: "welcome",
      metadata: { reason: "welcome", referenceId: "welcome-2026" },
      caller: "service:onboarding"
    },
    {
      ...row,
      description: "Have fun",
      metadata: { reason: "welcome", referenceId: "r2" },
      caller: "login_service"
    }
  ])
})

test("gives once for a reference, whoever asks and for however much", async () => {
  const userId = await db.userWith(0)
  const first = await db.call("credits.grant", { userId, ...welcome })
  const before = await db.books()
  for (const change of [{}, { amount: 60 }, { reason: "again" }, { caller: "service:other" }]) {
    expect(await db.call("credits.grant", { userId, ...welcome, ...change })).toEqual({
      ...first,
      alreadyGranted: true
    })
  }
  expect(await db.books()).toEqual(before)
})

test("answers a repeated grant with what can be spent now", async () => {
  const userId = await db.userWith(0)
  await db.call("credits.grant", { userId, ...welcome })
  await db.call("credits.use", { userId, amount: 20, appId: "chat", description: "An answer" })
  await db.call("credits.reserve", { userId, amount: 5, reason: "a call" })
  expect(await db.call("credits.grant", { userId, ...welcome })).toMatchObject({ alreadyGranted: true, newBalance: 25 })
  expect(await db.call("credits.grant", { userId, ...welcome, referenceId: "next" })).toMatchObject({ newBalance: 75 })
})

test("goes to what waited for credits, and answers what that left", async () => {
  const userId = await db.userWith(30)
  const now = new Date("2026-03-01T12:00:00Z")
  await db.call("sync.activate", { userId, autoResume: true, now: new Date("2026-01-01T12:00:00Z") })
  await db.call("sync.charge_due", { now })
  expect(await db.call("sync.status", { userId })).toMatchObject({ active: false })
  expect(await db.call("credits.grant", { userId, ...welcome, now })).toMatchObject({ newBalance: 20 })
  expect(await db.call("sync.status", { userId })).toMatchObject({ active: true })
})

test("gives the same reference to each user once", async () => {
  const userIds = [await db.userWith(0), await db.userWith(0)]
  for (const userId of userIds) {
    expect(await db.call("credits.grant", { userId, ...welcome })).toMatchObject({ alreadyGranted: false })
  }
})

test.each(badAmounts)("refuses an amount of $amount (CR001)", async ({ amount }) => {
  expect(await db.refused("credits.grant", { userId: "u", ...welcome, amount })).toEqual(invalid("amount"))
})

test.each(badTexts(128))("refuses a user id that is $what (CR001)", async ({ text }) => {
  expect(await db.refused("credits.grant", { ...welcome, userId: text })).toEqual(invalid("userId"))
})

test.each(badTexts(64))("refuses a reason that is $what (CR001)", async ({ text }) => {
  expect(await db.refused("credits.grant", { userId: "u", ...welcome, reason: text })).toEqual(invalid("reason"))
})

test.each(badTexts(128))("refuses a reference that is $what (CR001)", async ({ text }) => {
  expect(await db.refused("credits.grant", { userId: "u", ...welcome, referenceId: text })).toEqual(
    invalid("referenceId")
  )
})

test.each(badTexts(500).filter(({ text }) => text !== null))(
  "refuses a description that is $what (CR001)",
  async ({ text }) => {
    expect(await db.refused("credits.grant", { userId: "u", ...welcome, description: text })).toEqual(
      invalid("description")
    )
  }
)
