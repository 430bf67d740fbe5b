import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { badAmounts, badTexts, capReached, invalid, keyReused, notEnough } from "../../support/refusals.ts"
import { createKey, spentOn } from "../../support/service-keys.ts"
import { session } from "../../support/session.ts"

const db = await database()

const hold = { amount: 40, reason: "A long answer" }
const now = new Date("2026-03-01T12:00:00Z")

const reservation = async (id: string) => {
  const [row] = await db.query("select * from credits.reservations where id = $1", [id])
  return row
}

test("holds credits: they are the user's still, but can't be spent", async () => {
  const userId = await db.userWith(100)
  const before = await db.balanceRow(userId)
  const answer = await db.call("credits.reserve", { userId, ...hold, appId: "chat", caller: "service:chat", now })
  expect(answer).toEqual({
    reservationId: expect.stringMatching(/^[0-9a-f-]{36}$/),
    balance: 60,
    expiresAt: "2026-03-02T12:00:00.000Z"
  })
  expect(await db.balanceRow(userId)).toEqual({ ...before, held: 40, updated_at: now })
  expect(await reservation(answer.reservationId)).toMatchObject({
    user_id: userId,
    status: "open",
    amount: 40,
    reason: "A long answer",
    app_id: "chat",
    caller: "service:chat",
    created_at: now,
    closed_at: null
  })
})

test("holds for as long as asked", async () => {
  const userId = await db.userWith(100)
  const second = await db.call("credits.reserve", { userId, ...hold, expiresInSeconds: 1, now })
  expect(second.expiresAt).toBe("2026-03-01T12:00:01.000Z")
  const month = await db.call("credits.reserve", { userId, ...hold, expiresInSeconds: 2_592_000, now })
  expect(month.expiresAt).toBe("2026-03-31T12:00:00.000Z")
})

test("holds the price of an operation", async () => {
  const userId = await db.userWith(100)
  const price = { userId, reason: "deep", amount: null, operation: "research_deep" }
  expect((await db.call("credits.reserve", price)).balance).toBe(75)
  expect((await db.call("credits.reserve", { ...price, quantity: 2 })).balance).toBe(25)
})

test("holds everything, and then nothing more (CR002)", async () => {
  const userId = await db.userWith(40)
  expect((await db.call("credits.reserve", { userId, ...hold })).balance).toBe(0)
  expect(await db.refused("credits.reserve", { userId, ...hold, amount: 1 })).toEqual(notEnough(1, 0))
})

test("refuses more than can be spent (CR002)", async () => {
  const userId = await db.userWith(100)
  await db.call("credits.reserve", { userId, ...hold, amount: 61 })
  expect(await db.refused("credits.reserve", { userId, ...hold })).toEqual(notEnough(40, 39))
})

test("waits for a debit, and holds no more than it left (CR002)", async () => {
  const userId = await db.userWith(100)
  const [a, b] = [await session(db), await session(db)]
  await a.query("begin")
  await a.call("credits.use", { userId, amount: 61, appId: "chat", description: "An answer" })
  const held = b.call("credits.reserve", { userId, ...hold })
  await b.waitsFor(a)
  await a.query("commit")
  expect(await held).toEqual(notEnough(40, 39))
})

test("counts against the cap of the key it comes through, and stops there (CR403)", async () => {
  const userId = await db.userWith(100)
  const { id: serviceKeyId } = await createKey(db, { dailyCap: 50, now })
  await db.call("credits.reserve", { userId, ...hold, serviceKeyId, now })
  expect(await spentOn(db, serviceKeyId)).toEqual({ "2026-03-01": 40 })
  expect(await db.refused("credits.reserve", { userId, ...hold, serviceKeyId, now })).toEqual(capReached(50, 40))
})

test("refuses a user without a balance, and makes no row for them (CR002)", async () => {
  expect(await db.refused("credits.reserve", { userId: "unheard of", ...hold })).toEqual(notEnough(40, 0))
})

test("answers a replay with the first answer, and holds nothing more, even when it is closed", async () => {
  const userId = await db.userWith(50)
  const request = { userId, ...hold, idempotencyKey: "k" }
  const first = await db.call("credits.reserve", request)
  const before = await db.books()
  expect(await db.call("credits.reserve", request)).toEqual({ ...first, replayed: true })
  expect(await db.books()).toEqual(before)
  await db.call("credits.commit", { reservationId: first.reservationId })
  expect(await db.call("credits.reserve", request)).toEqual({ ...first, replayed: true })
})

test.each([
  { what: "another amount", change: { amount: 41 } },
  { what: "another reason", change: { reason: "Another" } },
  { what: "another expiry", change: { expiresInSeconds: 60 } },
  { what: "an app", change: { appId: "chat" } },
  { what: "an operation", change: { amount: null, operation: "chat_gpt4" } }
])("refuses a key for $what (CR003)", async ({ change }) => {
  const userId = await db.userWith(100)
  await db.call("credits.reserve", { userId, ...hold, idempotencyKey: "k" })
  expect(await db.refused("credits.reserve", { userId, ...hold, idempotencyKey: "k", ...change })).toEqual(
    keyReused("k")
  )
})

test("doesn't burn the key of a refused call (CR002)", async () => {
  const userId = await db.userWith(10)
  const request = { userId, ...hold, idempotencyKey: "k" }
  expect(await db.refused("credits.reserve", request)).toEqual(notEnough(40, 10))
  await db.call("credits.grant", { userId, amount: 30, reason: "top up", referenceId: "r" })
  expect(await db.call("credits.reserve", request)).toMatchObject({ balance: 0 })
})

test.each([{ seconds: null }, { seconds: 0 }, { seconds: -1 }, { seconds: 2_592_001 }])(
  "refuses an expiry in $seconds seconds (CR001)",
  async ({ seconds }) => {
    const userId = await db.userWith(100)
    expect(await db.refused("credits.reserve", { userId, ...hold, expiresInSeconds: seconds })).toEqual(
      invalid("expiresInSeconds")
    )
  }
)

test.each([
  { what: "an operation and an amount", change: { operation: "chat_gpt4" }, path: "amount" },
  { what: "an unknown operation", change: { amount: null, operation: "flying" }, path: "operation" },
  { what: "no units", change: { amount: null, operation: "chat_gpt4", quantity: 0 }, path: "quantity" }
])("refuses $what (CR001)", async ({ change, path }) => {
  const userId = await db.userWith(100)
  expect(await db.refused("credits.reserve", { userId, ...hold, ...change })).toEqual(invalid(path))
})

test.each(badAmounts)("refuses an amount of $amount (CR001)", async ({ amount }) => {
  const userId = await db.userWith(100)
  expect(await db.refused("credits.reserve", { userId, ...hold, amount })).toEqual(invalid("amount"))
})

test.each(badTexts(128))("refuses a user id that is $what (CR001)", async ({ text }) => {
  expect(await db.refused("credits.reserve", { ...hold, userId: text })).toEqual(invalid("userId"))
})

test.each(badTexts(200))("refuses a reason that is $what (CR001)", async ({ text }) => {
  const userId = await db.userWith(100)
  expect(await db.refused("credits.reserve", { userId, ...hold, reason: text })).toEqual(invalid("reason"))
})

test.each(badTexts(64).filter(({ text }) => text !== null))(
  "refuses an app id that is $what (CR001)",
  async ({ text }) => {
    const userId = await db.userWith(100)
    expect(await db.refused("credits.reserve", { userId, ...hold, appId: text })).toEqual(invalid("appId"))
  }
)

test.each(badTexts(255).filter(({ text }) => text !== null))(
  "refuses an idempotency key that is $what (CR001)",
  async ({ text }) => {
    const userId = await db.userWith(100)
    expect(await db.refused("credits.reserve", { userId, ...hold, idempotencyKey: text })).toEqual(
      invalid("idempotencyKey")
    )
  }
)
