import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import {
  badAmounts,
  badTexts,
  beyondCharge,
  invalid,
  keyReused,
  nobodysId,
  noTransaction
} from "../../support/refusals.ts"

const db = await database()

const free = { amount: 20, description: "Sorry" }

/** A user who had 100 credits and spent 60. */
const charged = async () => {
  const userId = await db.userWith(100)
  const debit = { userId, amount: 60, appId: "chat", description: "An answer" }
  const { transaction } = await db.call("credits.use", debit)
  return { userId, transactionId: transaction.id }
}

test("gives credits back freely", async () => {
  const userId = await db.userWith(100)
  const answer = await db.call("credits.refund", { userId, ...free, metadata: { ticket: 7 } })
  expect(answer).toEqual({
    transaction: expect.objectContaining({
      userId,
      type: "refund",
      amount: 20,
      balanceBefore: 100,
      balanceAfter: 120,
      appId: null,
      description: "Sorry",
      metadata: { ticket: 7 },
      relatedTransactionId: null
    }),
    newBalance: { balance: 120 }
  })
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 120, total_earned: 120, total_spent: 0, version: 2 })
})

test("opens the account of a user who has none", async () => {
  expect((await db.call("credits.refund", { userId: "new", ...free })).newBalance).toEqual({ balance: 20 })
})

test("gives back a part of a charge, and names the charge", async () => {
  const { userId, transactionId } = await charged()
  const { transaction, newBalance } = await db.call("credits.refund", { userId, ...free, transactionId })
  expect(transaction).toMatchObject({ amount: 20, appId: "chat", relatedTransactionId: transactionId })
  expect(newBalance).toEqual({ balance: 60 })
})

test("takes the credits from where they went", async () => {
  const { userId, transactionId } = await charged()
  await db.call("credits.refund", { userId, ...free, transactionId })
  await db.call("credits.refund", { userId, ...free, appId: "picture" })
  await db.call("credits.refund", { userId, ...free })
  const accounts =
    "select counter_account from credits.transactions where user_id = $1 and type = 'refund' order by seq"
  expect(await db.query(accounts, [userId])).toEqual([
    { counter_account: "revenue:chat" },
    { counter_account: "revenue:picture" },
    { counter_account: "adjustments" }
  ])
})

test("answers with what can be spent, holds taken off", async () => {
  const userId = await db.userWith(100)
  await db.call("credits.reserve", { userId, amount: 80, reason: "a long call" })
  expect((await db.call("credits.refund", { userId, ...free })).newBalance).toEqual({ balance: 40 })
})

test("refuses more than the charge took (CR005)", async () => {
  const { userId, transactionId } = await charged()
  expect(await db.refused("credits.refund", { userId, ...free, amount: 61, transactionId })).toEqual(
    beyondCharge(60, 0)
  )
})

test("gives back the whole charge in parts, and then nothing more (CR005)", async () => {
  const { userId, transactionId } = await charged()
  const refund = { userId, ...free, transactionId }
  await db.call("credits.refund", { ...refund, amount: 20 })
  await db.call("credits.refund", { ...refund, amount: 30 })
  expect(await db.refused("credits.refund", { ...refund, amount: 11 })).toEqual(beyondCharge(60, 50))
  expect((await db.call("credits.refund", { ...refund, amount: 10 })).newBalance).toEqual({ balance: 100 })
  expect(await db.refused("credits.refund", { ...refund, amount: 1 })).toEqual(beyondCharge(60, 60))
})

test("counts against a charge only what was given back of it", async () => {
  const { userId, transactionId } = await charged()
  await db.call("credits.refund", { userId, ...free })
  expect((await db.call("credits.refund", { userId, ...free, amount: 60, transactionId })).newBalance).toEqual({
    balance: 120
  })
})

test("gives back what a committed hold took", async () => {
  const userId = await db.userWith(100)
  const { reservationId } = await db.call("credits.reserve", { userId, amount: 50, reason: "a call", appId: "chat" })
  const { transactionId } = await db.call("credits.commit", { reservationId, amount: 40 })
  const refund = { userId, ...free, transactionId }
  expect(await db.refused("credits.refund", { ...refund, amount: 41 })).toEqual(beyondCharge(40, 0))
  expect((await db.call("credits.refund", { ...refund, amount: 40 })).newBalance).toEqual({ balance: 100 })
})

test("knows no charge of somebody else (CR004)", async () => {
  const { transactionId } = await charged()
  const userId = await db.userWith(100)
  expect(await db.refused("credits.refund", { userId, ...free, transactionId })).toEqual(noTransaction(transactionId))
})

test("refuses a charge that isn't there, and makes no account for it (CR004)", async () => {
  const refund = { userId: "unheard of", ...free, transactionId: nobodysId }
  expect(await db.refused("credits.refund", refund)).toEqual(noTransaction(nobodysId))
})

test("refuses what isn't a charge: a grant, a refund (CR004)", async () => {
  const { userId, transactionId } = await charged()
  const { transaction } = await db.call("credits.refund", { userId, ...free, transactionId })
  const [grant] = await db.query("select id from credits.transactions where user_id = $1 and seq = 1", [userId])
  for (const id of [grant.id, transaction.id]) {
    expect(await db.refused("credits.refund", { userId, ...free, transactionId: id })).toEqual(noTransaction(id))
  }
})

test("answers a replay with the first answer, and gives nothing, even when nothing is left", async () => {
  const { userId, transactionId } = await charged()
  const refund = { userId, ...free, amount: 60, transactionId, idempotencyKey: "k" }
  const first = await db.call("credits.refund", refund)
  const before = await db.books()
  expect(await db.call("credits.refund", refund)).toEqual({ ...first, replayed: true })
  expect(await db.books()).toEqual(before)
})

test.each([
  { what: "another amount", change: { amount: 21 } },
  { what: "another description", change: { description: "Very sorry" } },
  { what: "an app", change: { appId: "chat" } },
  { what: "metadata", change: { metadata: {} } },
  { what: "a charge", change: { transactionId: nobodysId } }
])("refuses a key for $what (CR003)", async ({ change }) => {
  const userId = await db.userWith(100)
  await db.call("credits.refund", { userId, ...free, idempotencyKey: "k" })
  expect(await db.refused("credits.refund", { userId, ...free, idempotencyKey: "k", ...change })).toEqual(
    keyReused("k")
  )
})

test("refuses a key that another function was called with (CR003)", async () => {
  const userId = await db.userWith(100)
  await db.call("credits.use", { userId, amount: 20, appId: "a", description: "Sorry", idempotencyKey: "k" })
  expect(await db.refused("credits.refund", { userId, ...free, idempotencyKey: "k" })).toEqual(keyReused("k"))
})

test.each(badAmounts)("refuses an amount of $amount (CR001)", async ({ amount }) => {
  const userId = await db.userWith(100)
  expect(await db.refused("credits.refund", { userId, ...free, amount })).toEqual(invalid("amount"))
})

test.each(badTexts(128))("refuses a user id that is $what (CR001)", async ({ text }) => {
  expect(await db.refused("credits.refund", { ...free, userId: text })).toEqual(invalid("userId"))
})

test.each(badTexts(500))("refuses a description that is $what (CR001)", async ({ text }) => {
  const userId = await db.userWith(100)
  expect(await db.refused("credits.refund", { userId, ...free, description: text })).toEqual(invalid("description"))
})

test.each(badTexts(64).filter(({ text }) => text !== null))(
  "refuses an app id that is $what (CR001)",
  async ({ text }) => {
    const userId = await db.userWith(100)
    expect(await db.refused("credits.refund", { userId, ...free, appId: text })).toEqual(invalid("appId"))
  }
)

test.each(badTexts(255).filter(({ text }) => text !== null))(
  "refuses an idempotency key that is $what (CR001)",
  async ({ text }) => {
    const userId = await db.userWith(100)
    const refund = { userId, ...free, idempotencyKey: text }
    expect(await db.refused("credits.refund", refund)).toEqual(invalid("idempotencyKey"))
  }
)

test.each([
  { what: "an array", metadata: [] },
  { what: "JSON's null", metadata: "null" },
  { what: "a byte more than 8 KiB", metadata: { text: "x".repeat(8181) } }
])("refuses metadata that is $what (CR001)", async ({ metadata }) => {
  const userId = await db.userWith(100)
  expect(await db.refused("credits.refund", { userId, ...free, metadata })).toEqual(invalid("metadata"))
})
