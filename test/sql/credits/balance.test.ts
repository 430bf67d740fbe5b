import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { badTexts, invalid } from "../../support/refusals.ts"

const db = await database()

const zeros = { balance: 0, held: 0, debt: 0, totalEarned: 0, totalSpent: 0 }
const time = (minute: number) => new Date(Date.UTC(2026, 2, 1, 12, minute))

test("answers zeros for a user nobody has seen, and writes nothing", async () => {
  const before = await db.books()
  expect(await db.call("credits.balance", { userId: "unheard of" })).toEqual(zeros)
  expect(await db.call("credits.balance", { userId: "unheard of", at: time(0) })).toEqual(zeros)
  expect(await db.books()).toEqual(before)
})

test("answers what can be spent, what is held, and the totals", async () => {
  const userId = await db.userWith(100)
  await db.call("credits.use", { userId, amount: 30, appId: "chat", description: "An answer" })
  await db.call("credits.refund", { userId, amount: 5, description: "Sorry" })
  await db.call("credits.reserve", { userId, amount: 20, reason: "a call" })
  expect(await db.call("credits.balance", { userId })).toEqual({
    balance: 55,
    held: 20,
    debt: 0,
    totalEarned: 105,
    totalSpent: 30
  })
})

test("answers the balance as it was at any time, that instant included", async () => {
  const userId = await db.userWith(0)
  await db.call("credits.grant", { userId, amount: 100, reason: "test", referenceId: "r", now: time(1) })
  await db.call("credits.use", { userId, amount: 30, appId: "chat", description: "An answer", now: time(2) })
  const hold = { userId, amount: 20, reason: "a call", expiresInSeconds: 3600 }
  const other = await db.userWith(0)
  await db.call("credits.grant", { userId: other, amount: 100, reason: "test", referenceId: "r", now: time(1) })
  await db.call("credits.reserve", { ...hold, userId: other, now: time(2) })
  const committed = await db.call("credits.reserve", { ...hold, now: time(3) })
  const released = await db.call("credits.reserve", { ...hold, amount: 1, now: time(4) })
  await db.call("credits.commit", { reservationId: committed.reservationId, amount: 15, now: time(5) })
  await db.call("credits.release", { reservationId: released.reservationId, now: time(6) })
  await db.call("credits.reserve", { ...hold, amount: 2, expiresInSeconds: 60, now: time(7) })
  await db.call("credits.expire_reservations", { now: time(8) })

  const at = async (when: Date) => {
    const { balance, held, totalEarned, totalSpent } = await db.call("credits.balance", { userId, at: when })
    return [balance, held, totalEarned, totalSpent]
  }
  expect(await at(time(0))).toEqual([0, 0, 0, 0])
  expect(await at(new Date(time(1).getTime() - 1))).toEqual([0, 0, 0, 0])
  expect(await at(time(1))).toEqual([100, 0, 100, 0])
  expect(await at(time(2))).toEqual([70, 0, 100, 30])
  expect(await at(time(3))).toEqual([50, 20, 100, 30])
  expect(await at(time(4))).toEqual([49, 21, 100, 30])
  expect(await at(time(5))).toEqual([54, 1, 100, 45])
  expect(await at(time(6))).toEqual([55, 0, 100, 45])
  expect(await at(time(7))).toEqual([53, 2, 100, 45])
  expect(await at(time(8))).toEqual([55, 0, 100, 45])
  await db.call("credits.reserve", { ...hold, amount: 3, now: time(9) })
  expect(await at(time(9))).toEqual([52, 3, 100, 45])
  expect(await db.call("credits.balance", { userId, at: time(60) })).toEqual(
    await db.call("credits.balance", { userId })
  )
})

test.each(badTexts(128))("refuses a user id that is $what (CR001)", async ({ text }) => {
  expect(await db.refused("credits.balance", { userId: text })).toEqual(invalid("userId"))
})
