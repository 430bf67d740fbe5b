import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { badTexts, invalid, nobodysId, noReservation, reservationClosed } from "../../support/refusals.ts"
import { createKey, spentOn } from "../../support/service-keys.ts"

const db = await database()

const now = new Date("2026-03-01T12:00:00Z")
const expiresAt = new Date("2026-03-01T12:01:00Z")

/** A user with 100 credits, 40 of them held for a minute. */
const held = async (more: object = {}) => {
  const userId = await db.userWith(100)
  const hold = { userId, amount: 40, reason: "A long answer", expiresInSeconds: 60, now, ...more }
  const { reservationId } = await db.call("credits.reserve", hold)
  return { userId, reservationId }
}

const lastTransaction = async (userId: string) => {
  const [row] = await db.query("select * from credits.transactions where user_id = $1 order by seq desc limit 1", [
    userId
  ])
  return row
}

test("charges the whole hold", async () => {
  const { userId, reservationId } = await held({ appId: "chat" })
  const answer = await db.call("credits.commit", { reservationId, caller: "service:chat", now })
  expect(answer).toEqual({ transactionId: expect.any(String), balance: 60 })
  expect(await lastTransaction(userId)).toMatchObject({
    id: answer.transactionId,
    type: "usage",
    amount: -40,
    counter_account: "revenue:chat",
    app_id: "chat",
    description: "A long answer",
    metadata: { reservationId },
    caller: "service:chat",
    created_at: now
  })
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 60, held: 0, total_spent: 40, version: 2 })
})

test("charges less and sets the rest free", async () => {
  const { userId, reservationId } = await held()
  expect(await db.call("credits.commit", { reservationId, amount: 15, now })).toMatchObject({ balance: 85 })
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 85, held: 0, total_spent: 15 })
  expect(
    await db.query("select status, amount, committed_amount from credits.reservations where id = $1", [reservationId])
  ).toEqual([{ status: "committed", amount: 40, committed_amount: 15 }])
})

test("leaves the user's other holds alone", async () => {
  const { userId, reservationId } = await held()
  await db.call("credits.reserve", { userId, amount: 10, reason: "another call", now })
  expect(await db.call("credits.commit", { reservationId, now })).toMatchObject({ balance: 50 })
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 60, held: 10 })
})

test("describes the charge as told", async () => {
  const { userId, reservationId } = await held()
  await db.call("credits.commit", { reservationId, description: "1,204 tokens", now })
  expect(await lastTransaction(userId)).toMatchObject({ description: "1,204 tokens", app_id: "unknown" })
})

test("counts the usage on the day of the commit", async () => {
  const { userId, reservationId } = await held({ appId: "chat", expiresInSeconds: 172_800 })
  await db.call("credits.commit", { reservationId, now: new Date("2026-03-02T00:00:00Z") })
  expect(await db.call("credits.usage", { userId })).toEqual([
    { day: "2026-03-02", appId: "chat", creditsUsed: 40, count: 1 }
  ])
  const second = { userId, amount: 10, reason: "another call", appId: "chat", now }
  const { reservationId: another } = await db.call("credits.reserve", second)
  await db.call("credits.commit", { reservationId: another, now: new Date("2026-03-02T01:00:00Z") })
  expect(await db.call("credits.usage", { userId })).toEqual([
    { day: "2026-03-02", appId: "chat", creditsUsed: 50, count: 2 }
  ])
})

test("repeated, gives the same answer and charges nothing, also after the expiry", async () => {
  const { userId, reservationId } = await held()
  const first = await db.call("credits.commit", { reservationId, amount: 15, now })
  await db.call("credits.use", { userId, amount: 5, appId: "chat", description: "between" })
  const before = await db.books()
  expect(await db.call("credits.commit", { reservationId, amount: 15, now: expiresAt })).toEqual({
    ...first,
    replayed: true
  })
  expect(await db.books()).toEqual(before)
})

test("repeated without an amount, is the commit of the whole hold", async () => {
  const { reservationId } = await held()
  const first = await db.call("credits.commit", { reservationId, amount: 40, now })
  expect(await db.call("credits.commit", { reservationId, now })).toEqual({ ...first, replayed: true })
})

test("refuses another amount once it is committed (CR007)", async () => {
  const { reservationId } = await held()
  await db.call("credits.commit", { reservationId, amount: 15, now })
  const closed = reservationClosed(reservationId, "committed")
  expect(await db.refused("credits.commit", { reservationId, now })).toEqual(closed)
  expect(await db.refused("credits.commit", { reservationId, amount: 14, now })).toEqual(closed)
  expect(await db.refused("credits.commit", { reservationId, amount: 14, now: expiresAt })).toEqual(closed)
})

test("refuses a hold that was released (CR007)", async () => {
  const { reservationId } = await held()
  await db.call("credits.release", { reservationId, now })
  expect(await db.refused("credits.commit", { reservationId, now })).toEqual(
    reservationClosed(reservationId, "released")
  )
})

test("takes a hold until its expiry, and refuses it from then on, swept or not (CR007)", async () => {
  const { reservationId } = await held()
  const expired = reservationClosed(reservationId, "expired")
  expect(await db.refused("credits.commit", { reservationId, now: expiresAt })).toEqual(expired)
  await db.call("credits.expire_reservations", { now: expiresAt })
  expect(await db.refused("credits.commit", { reservationId, now: expiresAt })).toEqual(expired)
  // Swept is swept, even for a caller whose clock is behind.
  expect(await db.refused("credits.commit", { reservationId, now })).toEqual(expired)

  const inTime = await held()
  const justBefore = new Date(expiresAt.getTime() - 1)
  expect(await db.call("credits.commit", { reservationId: inTime.reservationId, now: justBefore })).toMatchObject({
    balance: 60
  })
})

test("refuses more than is held (CR001)", async () => {
  const { reservationId } = await held()
  expect(await db.refused("credits.commit", { reservationId, amount: 41, now })).toEqual(invalid("amount"))
})

test.each([{ amount: 0 }, { amount: -1 }, { amount: 1_000_000_001 }])(
  "refuses an amount of $amount (CR001)",
  async ({ amount }) => {
    const { reservationId } = await held()
    expect(await db.refused("credits.commit", { reservationId, amount, now })).toEqual(invalid("amount"))
  }
)

test.each(badTexts(500).filter(({ text }) => text !== null))(
  "refuses a description that is $what (CR001)",
  async ({ text }) => {
    const { reservationId } = await held()
    expect(await db.refused("credits.commit", { reservationId, description: text, now })).toEqual(
      invalid("description")
    )
  }
)

test("refuses a hold that isn't there (CR006)", async () => {
  expect(await db.refused("credits.commit", { reservationId: nobodysId })).toEqual(noReservation(nobodysId))
})

test("refuses null for a hold (CR006)", async () => {
  expect(await db.refused("credits.commit", { reservationId: null })).toMatchObject({ sqlstate: "CR006" })
})

test("where it names whose holds alone it may close, another's is none, open or closed (CR006)", async () => {
  const { reservationId } = await held({ caller: "service:chat" })
  const theirs = { reservationId, onlyOf: "service:picture", now }
  expect(await db.refused("credits.commit", theirs)).toEqual(noReservation(reservationId))
  await db.call("credits.commit", { ...theirs, onlyOf: "service:chat" })
  expect(await db.refused("credits.commit", theirs)).toEqual(noReservation(reservationId))
})

test("says that the balance is low when it takes it below the threshold, and only then", async () => {
  const { userId } = await held()
  await db.query("update credits.settings set low_balance_threshold = 60")
  const take = async (amount: number) => {
    const { reservationId } = await db.call("credits.reserve", { userId, amount, reason: "a call", now })
    await db.call("credits.commit", { reservationId, now })
    const said = await db.query(
      "select data from credits.events where user_id = $1 and type = 'credits.low_balance' order by id",
      [userId]
    )
    return said.map(({ data }) => data)
  }
  expect(await take(10)).toEqual([])
  expect(await take(30)).toEqual([])
  await db.call("credits.expire_reservations", { now: expiresAt })
  expect(await take(1)).toEqual([{ balance: 59, threshold: 60 }])
  expect(await take(1)).toHaveLength(1)
  await db.query("update credits.settings set low_balance_threshold = null")
})

test("gives what it doesn't charge back to the cap it was counted against", async () => {
  const { id: serviceKeyId } = await createKey(db, { dailyCap: 50, now })
  const { reservationId } = await held({ serviceKeyId })
  await db.call("credits.commit", { reservationId, amount: 15, now })
  expect(await spentOn(db, serviceKeyId)).toEqual({ "2026-03-01": 15 })
})

test("what it sets free goes to what waited for credits; charged in full, it sets nothing free", async () => {
  const userId = await db.userWith(110)
  await db.call("sync.activate", { userId, now: new Date("2026-01-01T12:00:00Z") })
  const hold = async (amount: number) =>
    (await db.call("credits.reserve", { userId, amount, reason: "a call", now })).reservationId
  const [whole, part, released] = [await hold(1), await hold(39), await hold(40)]
  await db.call("sync.charge_due", { now })
  await db.call("credits.release", { reservationId: released, now })
  // From here on it would go on with the next credits that come.
  await db.call("sync.change_interval", { userId, interval: "monthly", autoResume: true, now })
  const isActive = async () => (await db.call("sync.status", { userId })).active
  await db.call("credits.commit", { reservationId: whole, now })
  expect(await isActive()).toBe(false)
  expect(await db.call("credits.commit", { reservationId: part, amount: 3, now })).toMatchObject({ balance: 46 })
  expect(await isActive()).toBe(true)
})
