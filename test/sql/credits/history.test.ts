import { beforeAll, expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { badTexts, invalid, nobodysId, noTransaction } from "../../support/refusals.ts"

const db = await database()

interface Row {
  readonly id: string
  readonly amount: number
}

const time = (minute: number) => new Date(Date.UTC(2026, 2, 1, 12, minute))
const userId = "reader"

// 1000, then 1 to 9 credits spent, a minute apart, the odd ones by chat, the even ones by picture.
beforeAll(async () => {
  await db.call("credits.grant", { userId, amount: 1000, reason: "test", referenceId: "r", now: time(0) })
  for (let amount = 1; amount <= 9; amount++) {
    const appId = amount % 2 === 1 ? "chat" : "picture"
    await db.call("credits.use", { userId, amount, appId, description: "An answer", now: time(amount) })
  }
})

const history = async (more: object = {}): Promise<{ transactions: ReadonlyArray<Row>; next: string | null }> =>
  db.call("credits.history", { userId, ...more })
const amounts = async (more: object) => (await history(more)).transactions.map(({ amount }) => amount)

test("answers the ledger newest first, each row as credits.use answered it", async () => {
  const { transactions, next } = await history()
  expect(transactions.map(({ amount }) => amount)).toEqual([-9, -8, -7, -6, -5, -4, -3, -2, -1, 1000])
  expect(next).toBeNull()
  expect(transactions[9]).toEqual({
    id: expect.any(String),
    userId,
    type: "grant",
    status: "completed",
    amount: 1000,
    balanceBefore: 0,
    balanceAfter: 1000,
    appId: null,
    description: "test",
    metadata: { reason: "test", referenceId: "r" },
    idempotencyKey: null,
    relatedTransactionId: null,
    createdAt: "2026-03-01T12:00:00.000Z",
    completedAt: "2026-03-01T12:00:00.000Z"
  })
})

test("answers nothing for a user without a ledger", async () => {
  expect(await db.call("credits.history", { userId: "unheard of" })).toEqual({ transactions: [], next: null })
})

test("pages by the id of the last row seen, to the end, each row once", async () => {
  const pages: Array<ReadonlyArray<number>> = []
  let before: string | null = null
  do {
    const page: { transactions: ReadonlyArray<Row>; next: string | null } = await history({ limit: 4, before })
    pages.push(page.transactions.map(({ amount }) => amount))
    before = page.next
  } while (before !== null)
  expect(pages).toEqual([
    [-9, -8, -7, -6],
    [-5, -4, -3, -2],
    [-1, 1000]
  ])
})

test("names no next page when this one ends with the ledger", async () => {
  expect((await history({ limit: 10 })).next).toBeNull()
  const { transactions, next } = await history({ limit: 9 })
  expect(next).toBe(transactions[8]?.id)
})

test("keeps its place while new rows come in", async () => {
  const user = "busy reader"
  await db.call("credits.grant", { userId: user, amount: 1, reason: "test", referenceId: "1" })
  await db.call("credits.grant", { userId: user, amount: 2, reason: "test", referenceId: "2" })
  const first = await db.call("credits.history", { userId: user, limit: 1 })
  await db.call("credits.grant", { userId: user, amount: 3, reason: "test", referenceId: "3" })
  const second = await db.call("credits.history", { userId: user, limit: 1, before: first.next })
  expect(second.transactions).toMatchObject([{ amount: 1 }])
})

test("follows the order of the ledger, not of the clock", async () => {
  const user = "time traveller"
  await db.call("credits.grant", { userId: user, amount: 1, reason: "test", referenceId: "1", now: time(5) })
  await db.call("credits.grant", { userId: user, amount: 2, reason: "test", referenceId: "2", now: time(1) })
  const { transactions } = await db.call("credits.history", { userId: user })
  expect(transactions).toMatchObject([{ amount: 2 }, { amount: 1 }])
})

test("skips as many as asked", async () => {
  expect(await amounts({ limit: 2, offset: 3 })).toEqual([-6, -5])
  expect(await amounts({ offset: 10 })).toEqual([])
  expect(await amounts({ offset: 1_000_000 })).toEqual([])
})

test("filters by type, app and time, from included, to excluded", async () => {
  expect(await amounts({ type: "grant" })).toEqual([1000])
  expect(await amounts({ appId: "picture" })).toEqual([-8, -6, -4, -2])
  expect(await amounts({ from: time(3), to: time(6) })).toEqual([-5, -4, -3])
  expect(await amounts({ from: time(3), to: time(3) })).toEqual([])
  expect(await amounts({ type: "usage", appId: "chat", from: time(4) })).toEqual([-9, -7, -5])
})

test("pages within a filter", async () => {
  const first = await history({ appId: "chat", limit: 3 })
  expect(first.transactions.map(({ amount }) => amount)).toEqual([-9, -7, -5])
  expect(await amounts({ appId: "chat", limit: 3, before: first.next })).toEqual([-3, -1])
})

test("never shows the ledger of somebody else", async () => {
  const [own] = (await history()).transactions
  await db.call("credits.grant", { userId: "other", amount: 1, reason: "test", referenceId: "r" })
  expect((await db.call("credits.history", { userId: "other" })).transactions).toHaveLength(1)
  expect(await db.refused("credits.history", { userId: "other", before: own?.id })).toEqual(
    noTransaction(own?.id ?? "")
  )
})

test("refuses to page from a transaction that isn't there (CR004)", async () => {
  expect(await db.refused("credits.history", { userId, before: nobodysId })).toEqual(noTransaction(nobodysId))
})

test.each([{ limit: null }, { limit: 0 }, { limit: -1 }, { limit: 201 }])(
  "refuses a limit of $limit (CR001)",
  async ({ limit }) => {
    expect(await db.refused("credits.history", { userId, limit })).toEqual(invalid("limit"))
  }
)

test.each([{ offset: null }, { offset: -1 }, { offset: 1_000_001 }])(
  "refuses an offset of $offset (CR001)",
  async ({ offset }) => {
    expect(await db.refused("credits.history", { userId, offset })).toEqual(invalid("offset"))
  }
)

test.each(badTexts(128))("refuses a user id that is $what (CR001)", async ({ text }) => {
  expect(await db.refused("credits.history", { userId: text })).toEqual(invalid("userId"))
})

test("refuses a type that no ledger row has (CR001)", async () => {
  expect(await db.refused("credits.history", { userId, type: "nonsense" })).toEqual(invalid("type"))
})
