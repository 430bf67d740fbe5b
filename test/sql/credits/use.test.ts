import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { badAmounts, badTexts, capReached, invalid, keyReused, notEnough } from "../../support/refusals.ts"
import { createKey, spentOn } from "../../support/service-keys.ts"

const db = await database()

const debit = { amount: 30, appId: "chat", description: "An answer" }

test("takes credits and answers with the ledger row and what is left", async () => {
  const userId = await db.userWith(100)
  const answer = await db.call("credits.use", { userId, ...debit, metadata: { model: "gpt-4" } })
  expect(answer).toEqual({
    transaction: {
      id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-7/),
      userId,
      type: "usage",
      status: "completed",
      amount: -30,
      balanceBefore: 100,
      balanceAfter: 70,
      appId: "chat",
      description: "An answer",
      metadata: { model: "gpt-4" },
      idempotencyKey: null,
      relatedTransactionId: null,
      createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      completedAt: answer.transaction.createdAt
    },
    newBalance: { balance: 70, totalSpent: 30 }
  })
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 70, held: 0, total_spent: 30, version: 2 })
})

test("books the credits as revenue of the app and writes down who asked", async () => {
  const userId = await db.userWith(100)
  await db.call("credits.use", { userId, ...debit, caller: "service:chat" })
  const rows = await db.query("select seq, counter_account, caller from credits.transactions where user_id = $1", [
    userId
  ])
  expect(rows[1]).toEqual({ seq: 2, counter_account: "revenue:chat", caller: "service:chat" })
})

test("names the session's login as caller when nobody else is named", async () => {
  const userId = await db.userWith(100)
  await db.call("credits.use", { userId, ...debit })
  expect(await db.query("select caller from credits.transactions where user_id = $1 and seq = 2", [userId])).toEqual([
    { caller: "login_service" }
  ])
})

test("takes the last credit, and no more (CR002)", async () => {
  const userId = await db.userWith(30)
  expect((await db.call("credits.use", { userId, ...debit })).newBalance).toEqual({ balance: 0, totalSpent: 30 })
  expect(await db.refused("credits.use", { userId, ...debit, amount: 1 })).toEqual(notEnough(1, 0))
})

test("refuses more than is there (CR002)", async () => {
  const userId = await db.userWith(29)
  expect(await db.refused("credits.use", { userId, ...debit })).toEqual(notEnough(30, 29))
})

test("refuses what is held for something else (CR002)", async () => {
  const userId = await db.userWith(100)
  await db.call("credits.reserve", { userId, amount: 80, reason: "a long call" })
  expect(await db.refused("credits.use", { userId, ...debit })).toEqual(notEnough(30, 20))
  expect((await db.call("credits.use", { userId, ...debit, amount: 20 })).newBalance.balance).toBe(0)
})

test("counts against the cap of the key it comes through, and stops there (CR403)", async () => {
  const userId = await db.userWith(100)
  const now = new Date("2026-03-01T12:00:00Z")
  const { id: serviceKeyId } = await createKey(db, { dailyCap: 50, now })
  const request = { userId, ...debit, caller: "service:chat", serviceKeyId, now }
  await db.call("credits.use", request)
  expect(await spentOn(db, serviceKeyId)).toEqual({ "2026-03-01": 30 })
  expect(await db.refused("credits.use", request)).toEqual(capReached(50, 30))
})

test("refuses a user without a balance, and makes no row for them (CR002)", async () => {
  expect(await db.refused("credits.use", { userId: "unheard of", ...debit })).toEqual(notEnough(30, 0))
})

test("answers a replay with the first answer, and takes nothing", async () => {
  const userId = await db.userWith(100)
  const request = { userId, ...debit, metadata: { b: 1, a: [2] }, idempotencyKey: "k1" }
  const first = await db.call("credits.use", request)
  const before = await db.books()
  // The same JSON, its keys in another order.
  const again = await db.call("credits.use", { ...request, metadata: { a: [2], b: 1 } })
  expect(again).toEqual({ ...first, replayed: true })
  expect(await db.books()).toEqual(before)
  expect(first.transaction.idempotencyKey).toBe("k1")
})

test("answers a replay though the balance is spent and the price has changed", async () => {
  const userId = await db.userWith(5)
  const request = { userId, ...debit, amount: null, operation: "chat_gpt4", idempotencyKey: "k" }
  const first = await db.call("credits.use", request)
  await db.query("update credits.operations set credits = 6 where operation = 'chat_gpt4'")
  expect(await db.call("credits.use", request)).toEqual({ ...first, replayed: true })
  await db.query("update credits.operations set credits = 5 where operation = 'chat_gpt4'")
})

test.each([
  { what: "another amount", change: { amount: 31 } },
  { what: "another app", change: { appId: "picture" } },
  { what: "another description", change: { description: "Another answer" } },
  { what: "other metadata", change: { metadata: {} } },
  { what: "an operation in place of the amount", change: { amount: null, operation: "chat_gpt4" } }
])("refuses a key for $what (CR003)", async ({ change }) => {
  const userId = await db.userWith(100)
  await db.call("credits.use", { userId, ...debit, idempotencyKey: "k" })
  expect(await db.refused("credits.use", { userId, ...debit, idempotencyKey: "k", ...change })).toEqual(keyReused("k"))
})

test("refuses a key that another function was called with (CR003)", async () => {
  const userId = await db.userWith(100)
  await db.call("credits.reserve", { userId, amount: 30, reason: "hold", idempotencyKey: "k" })
  expect(await db.refused("credits.use", { userId, ...debit, idempotencyKey: "k" })).toEqual(keyReused("k"))
})

test("knows a key by user and caller", async () => {
  const userId = await db.userWith(100)
  const other = await db.userWith(100)
  const request = { ...debit, idempotencyKey: "k" }
  const answers = [
    await db.call("credits.use", { userId, ...request, caller: "service:a" }),
    await db.call("credits.use", { userId, ...request, caller: "service:b" }),
    await db.call("credits.use", { userId: other, ...request, caller: "service:a" })
  ]
  expect(answers.filter((answer) => answer.replayed === true)).toEqual([])
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 40 })
  expect(await db.balanceRow(other)).toMatchObject({ balance: 70 })
})

test("doesn't burn the key of a refused call (CR002)", async () => {
  const userId = await db.userWith(10)
  const request = { userId, ...debit, idempotencyKey: "k" }
  expect(await db.refused("credits.use", request)).toEqual(notEnough(30, 10))
  await db.call("credits.grant", { userId, amount: 20, reason: "top up", referenceId: "r" })
  expect((await db.call("credits.use", request)).replayed).toBeUndefined()
})

test("charges the price of an operation, and writes down which and how many", async () => {
  const userId = await db.userWith(100)
  const request = { userId, ...debit, amount: null, operation: "image_generation" }
  const one = await db.call("credits.use", request)
  expect(one.transaction).toMatchObject({ amount: -10, metadata: { operation: "image_generation", quantity: 1 } })
  const three = await db.call("credits.use", { ...request, quantity: 3, metadata: { size: "large" } })
  expect(three.transaction).toMatchObject({
    amount: -30,
    metadata: { operation: "image_generation", quantity: 3, size: "large" }
  })
})

test.each([
  { what: "an operation and an amount", change: { operation: "chat_gpt4" }, path: "amount" },
  { what: "an operation that isn't on the list", change: { amount: null, operation: "flying" }, path: "operation" },
  { what: "no units", change: { amount: null, operation: "chat_gpt4", quantity: 0 }, path: "quantity" },
  { what: "fewer than no units", change: { amount: null, operation: "chat_gpt4", quantity: -1 }, path: "quantity" },
  {
    what: "too many units",
    change: { amount: null, operation: "card_generation", quantity: 1_000_001 },
    path: "quantity"
  }
])("refuses $what (CR001)", async ({ change, path }) => {
  const userId = await db.userWith(100)
  expect(await db.refused("credits.use", { userId, ...debit, ...change })).toEqual(invalid(path))
})

test("refuses a price beyond 1,000,000,000 (CR001)", async () => {
  await db.query(
    `insert into credits.operations (operation, name, description, category, app, credits, unit, sort_order)
     values ('satellite', 'Satellite', 'One launch', 'premium', 'space', 1000000, 'launch', 900)`
  )
  const userId = await db.userWith(100)
  const request = { userId, ...debit, amount: null, operation: "satellite" }
  expect(await db.refused("credits.use", { ...request, quantity: 1001 })).toEqual(invalid("quantity"))
  expect(await db.refused("credits.use", { ...request, quantity: 1000 })).toEqual(notEnough(1_000_000_000, 100))
  await db.query("update credits.operations set credits = 1001 where operation = 'satellite'")
  expect(await db.refused("credits.use", { ...request, quantity: 999_001 })).toEqual(invalid("quantity"))
})

test.each(badAmounts)("refuses an amount of $amount (CR001)", async ({ amount }) => {
  const userId = await db.userWith(100)
  expect(await db.refused("credits.use", { userId, ...debit, amount })).toEqual(invalid("amount"))
})

test.each(badTexts(128))("refuses a user id that is $what (CR001)", async ({ text }) => {
  expect(await db.refused("credits.use", { ...debit, userId: text })).toEqual(invalid("userId"))
})

test.each(badTexts(64))("refuses an app id that is $what (CR001)", async ({ text }) => {
  const userId = await db.userWith(100)
  expect(await db.refused("credits.use", { userId, ...debit, appId: text })).toEqual(invalid("appId"))
})

test.each(badTexts(500))("refuses a description that is $what (CR001)", async ({ text }) => {
  const userId = await db.userWith(100)
  expect(await db.refused("credits.use", { userId, ...debit, description: text })).toEqual(invalid("description"))
})

test.each(badTexts(255).filter(({ text }) => text !== null))(
  "refuses an idempotency key that is $what (CR001)",
  async ({ text }) => {
    const userId = await db.userWith(100)
    expect(await db.refused("credits.use", { userId, ...debit, idempotencyKey: text })).toEqual(
      invalid("idempotencyKey")
    )
  }
)

test.each([
  { what: "an array", metadata: [1] },
  { what: "a number", metadata: 1 },
  { what: "text", metadata: '"text"' },
  { what: "JSON's null", metadata: "null" },
  { what: "a byte more than 8 KiB", metadata: { text: "x".repeat(8181) } }
])("refuses metadata that is $what (CR001)", async ({ metadata }) => {
  const userId = await db.userWith(100)
  expect(await db.refused("credits.use", { userId, ...debit, metadata })).toEqual(invalid("metadata"))
})

test("takes texts and metadata up to their limits", async () => {
  const userId = `${"u".repeat(127)}𝄞`
  await db.call("credits.grant", { userId, amount: 100, reason: "test", referenceId: "r" })
  const request = {
    userId,
    amount: 1,
    appId: "a\n".repeat(32),
    description: "𝄞".repeat(500),
    idempotencyKey: "k".repeat(255),
    metadata: { text: "x".repeat(8180) }
  }
  expect((await db.call("credits.use", request)).transaction).toMatchObject({
    description: request.description,
    metadata: request.metadata
  })
})

test.each([
  { what: "a NUL in a text", change: { description: "a\u0000b" }, sqlstate: "22021" },
  { what: "a NUL in metadata", change: { metadata: { text: "a\u0000b" } }, sqlstate: "22P05" },
  { what: "a fraction", change: { amount: "1.5" }, sqlstate: "22P02" },
  { what: "no caller", change: { caller: null }, sqlstate: "23502" },
  { what: "no time", change: { now: null }, sqlstate: "23502" }
])("can't be called with $what", async ({ change, sqlstate }) => {
  const userId = await db.userWith(100)
  expect(await db.refused("credits.use", { userId, ...debit, ...change })).toMatchObject({ sqlstate })
})

test("counts the usage on the UTC day of the time it is told", async () => {
  const userId = await db.userWith(100)
  // Still 31 January in New York.
  const now = new Date("2026-02-01T04:59:59.999Z")
  expect((await db.call("credits.use", { userId, ...debit, now })).transaction.createdAt).toBe(
    "2026-02-01T04:59:59.999Z"
  )
  await db.call("credits.use", { userId, ...debit, now: new Date("2026-01-31T23:59:59.999Z") })
  expect(
    await db.query(
      "select day::text, app_id, credits_used, count from credits.usage_stats where user_id = $1 order by day",
      [userId]
    )
  ).toEqual([
    { day: "2026-01-31", app_id: "chat", credits_used: 30, count: 1 },
    { day: "2026-02-01", app_id: "chat", credits_used: 30, count: 1 }
  ])
})
