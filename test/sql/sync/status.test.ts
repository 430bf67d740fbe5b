import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { invalid } from "../../support/refusals.ts"

const db = await database()

test("a new user: inactive, monthly, no dates, nothing written", async () => {
  const before = await db.books()
  expect(await db.call("sync.status", { userId: "stranger" })).toEqual({
    active: false,
    interval: "monthly",
    nextChargeAt: null,
    pausedAt: null,
    paidUntil: null,
    gifted: false,
    price: 30,
    autoResume: false
  })
  expect(await db.books()).toEqual(before)
})

test("an active one: the price of the next charge, and autoResume as chosen", async () => {
  const userId = await db.userWith(100)
  await db.call("sync.activate", { userId, interval: "quarterly", autoResume: true, now: "2027-01-31T10:00:00.000Z" })
  expect(await db.call("sync.status", { userId })).toEqual({
    active: true,
    interval: "quarterly",
    nextChargeAt: "2027-04-30T10:00:00.000Z",
    pausedAt: null,
    paidUntil: "2027-04-30T10:00:00.000Z",
    gifted: false,
    price: 90,
    autoResume: true
  })
})

test("refuses no user id (CR001)", async () => {
  expect(await db.refused("sync.status", { userId: "" })).toEqual(invalid("userId"))
})
