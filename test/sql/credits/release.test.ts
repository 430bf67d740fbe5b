import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { nobodysId, noReservation, reservationClosed } from "../../support/refusals.ts"
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

test("sets the whole hold free and writes nothing into the ledger", async () => {
  const { userId, reservationId } = await held()
  const before = await db.balanceRow(userId)
  expect(await db.call("credits.release", { reservationId, now })).toEqual({ balance: 100 })
  expect(await db.balanceRow(userId)).toEqual({ ...before, held: 0 })
})

test("leaves the user's other holds alone", async () => {
  const { userId, reservationId } = await held()
  await db.call("credits.reserve", { userId, amount: 10, reason: "another call", now })
  expect(await db.call("credits.release", { reservationId, now })).toEqual({ balance: 90 })
  expect(await db.balanceRow(userId)).toMatchObject({ held: 10 })
})

test("repeated, gives the same answer and sets nothing free", async () => {
  const { userId, reservationId } = await held()
  await db.call("credits.reserve", { userId, amount: 10, reason: "another call", now })
  const first = await db.call("credits.release", { reservationId, now })
  const before = await db.books()
  expect(await db.call("credits.release", { reservationId, now: expiresAt })).toEqual({ ...first, replayed: true })
  expect(await db.books()).toEqual(before)
})

test("sets a hold free that is past its expiry but not swept", async () => {
  const { reservationId } = await held()
  expect(await db.call("credits.release", { reservationId, now: expiresAt })).toEqual({ balance: 100 })
})

test("refuses a hold that was committed (CR007)", async () => {
  const { reservationId } = await held()
  await db.call("credits.commit", { reservationId, amount: 1, now })
  expect(await db.refused("credits.release", { reservationId, now })).toEqual(
    reservationClosed(reservationId, "committed")
  )
})

test("refuses a hold that expired (CR007)", async () => {
  const { reservationId } = await held()
  await db.call("credits.expire_reservations", { now: expiresAt })
  expect(await db.refused("credits.release", { reservationId, now: expiresAt })).toEqual(
    reservationClosed(reservationId, "expired")
  )
})

test("refuses a hold that isn't there (CR006)", async () => {
  expect(await db.refused("credits.release", { reservationId: nobodysId })).toEqual(noReservation(nobodysId))
})

test("refuses null for a hold (CR006)", async () => {
  expect(await db.refused("credits.release", { reservationId: null })).toMatchObject({ sqlstate: "CR006" })
})

test("where it names whose holds alone it may close, another's is none, open or closed (CR006)", async () => {
  const { reservationId } = await held({ caller: "service:chat" })
  const theirs = { reservationId, onlyOf: "service:picture", now }
  expect(await db.refused("credits.release", theirs)).toEqual(noReservation(reservationId))
  await db.call("credits.release", { ...theirs, onlyOf: "service:chat" })
  expect(await db.refused("credits.release", theirs)).toEqual(noReservation(reservationId))
})

test("gives the whole hold back to the cap it was counted against", async () => {
  const { id: serviceKeyId } = await createKey(db, { dailyCap: 50, now })
  const { reservationId } = await held({ serviceKeyId })
  await db.call("credits.release", { reservationId, now })
  expect(await spentOn(db, serviceKeyId)).toEqual({ "2026-03-01": 0 })
})
