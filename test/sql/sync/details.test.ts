import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { invalid } from "../../support/refusals.ts"
import { monthsAfter } from "./subscribers.ts"

const db = await database()
const now = new Date("2027-01-31T10:00:00.000Z")

test("is the status and what is behind it: the last 24 charges, newest first", async () => {
  const userId = await db.userWith(30 * 30)
  await db.call("sync.activate", { userId, now })
  await db.call("sync.charge_due", { now: monthsAfter(now, 29) })
  const { charges, ...details } = await db.call("sync.details", { userId }, "mana_readonly")
  expect(details).toEqual({
    ...(await db.call("sync.status", { userId })),
    userId,
    status: "active",
    giftedBy: null,
    giftedAt: null,
    giftRevokedBy: null,
    giftRevokedAt: null,
    pausedBy: null,
    pausedWhy: null
  })
  expect(charges).toHaveLength(24)
  expect(charges[0]).toEqual({
    periodStart: monthsAfter(now, 29).toISOString(),
    periodEnd: monthsAfter(now, 30).toISOString(),
    interval: "monthly",
    credits: 30,
    transactionId: expect.any(String),
    chargedAt: monthsAfter(now, 29).toISOString()
  })
  expect(charges[23]).toMatchObject({ periodStart: monthsAfter(now, 6).toISOString() })
})

test("of a user nobody has seen: inactive, nothing written", async () => {
  const before = await db.books()
  expect(await db.call("sync.details", { userId: "stranger" })).toMatchObject({ status: "inactive", charges: [] })
  expect(await db.books()).toEqual(before)
})

test("refuses no user id (CR001)", async () => {
  expect(await db.refused("sync.details", { userId: "" })).toEqual(invalid("userId"))
})
