import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { invalid, refusedBy } from "../../support/refusals.ts"
import { holding, session } from "../../support/session.ts"
import { chargesOf } from "./subscribers.ts"

const db = await database()
const now = new Date("2027-01-31T10:00:00.000Z")

test("takes effect with its price at the next charge, dates still counting from the anchor", async () => {
  const userId = await db.userWith(1000)
  await db.call("sync.activate", { userId, now })
  expect(await db.call("sync.change_interval", { userId, interval: "quarterly", now })).toEqual({
    interval: "quarterly",
    amountCharged: 90,
    effectiveAt: "2027-02-28T10:00:00.000Z",
    autoResume: false
  })
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 970 })
  await db.call("sync.charge_due", { now: "2027-03-01T00:00:00Z" })
  await db.call("sync.change_interval", { userId, interval: "monthly", now })
  await db.call("sync.charge_due", { now: "2027-06-01T00:00:00Z" })
  const charges = await chargesOf(db, userId)
  expect(charges.map((charge) => [charge.interval, charge.credits, charge.period_start.toISOString()])).toEqual([
    ["monthly", 30, "2027-01-31T10:00:00.000Z"],
    ["quarterly", 90, "2027-02-28T10:00:00.000Z"],
    ["monthly", 30, "2027-05-31T10:00:00.000Z"]
  ])
  expect(await db.call("sync.status", { userId })).toMatchObject({ nextChargeAt: "2027-06-30T10:00:00.000Z" })
})

test("back again before the charge changes nothing", async () => {
  const userId = await db.userWith(100)
  await db.call("sync.activate", { userId, now })
  const before = await db.call("sync.status", { userId })
  await db.call("sync.change_interval", { userId, interval: "yearly", now })
  await db.call("sync.change_interval", { userId, interval: "monthly", now })
  expect(await db.call("sync.status", { userId })).toEqual(before)
})

test("of a paused one: whenever it goes on", async () => {
  const userId = await db.userWith(30)
  await db.call("sync.activate", { userId, now })
  await db.call("sync.charge_due", { now: "2027-03-01T00:00:00Z" })
  expect(await db.call("sync.change_interval", { userId, interval: "quarterly", autoResume: true })).toEqual({
    interval: "quarterly",
    amountCharged: 90,
    effectiveAt: null,
    autoResume: true
  })
})

test("keeps autoResume unless it is given", async () => {
  const userId = await db.userWith(30)
  await db.call("sync.activate", { userId, autoResume: true })
  expect(await db.call("sync.change_interval", { userId, interval: "yearly" })).toMatchObject({ autoResume: true })
  expect(await db.call("sync.change_interval", { userId, interval: "yearly", autoResume: false })).toMatchObject({
    autoResume: false
  })
})

test("refuses an interval that isn't for sale (CR001)", async () => {
  const userId = await db.userWith(30)
  await db.call("sync.activate", { userId })
  for (const interval of ["weekly", "", null]) {
    expect(await db.refused("sync.change_interval", { userId, interval })).toEqual(invalid("interval"))
  }
})

test("waits for a gift under way, which it then can't change (CR103), and for nobody else's balance", async () => {
  const userId = await db.userWith(30)
  await holding(db, "select from credits.balances where user_id = $1 for update", [await db.userWith(1)])
  await db.call("sync.activate", { userId, now })
  const [a, b] = [await session(db), await session(db)]
  await a.query("begin")
  await a.call("sync.gift", { userId, by: "admin-1", now })
  const changed = b.call("sync.change_interval", { userId, interval: "yearly", now })
  await b.waitsFor(a)
  await a.query("commit")
  expect(await changed).toEqual(refusedBy("CR103"))
})
