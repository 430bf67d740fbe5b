import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { invalid, refusedBy } from "../../support/refusals.ts"
import { holding, session } from "../../support/session.ts"
import { chargesOf, eventsOf } from "./subscribers.ts"

const db = await database()
const now = new Date("2027-01-31T10:00:00.000Z")
const later = (days: number) => new Date(now.getTime() + days * 86_400_000)

test.each([
  ["monthly", 30, "2027-02-28T10:00:00.000Z"],
  ["quarterly", 90, "2027-04-30T10:00:00.000Z"],
  ["yearly", 360, "2028-01-31T10:00:00.000Z"]
])("charges the first period, %s", async (interval, price, nextChargeAt) => {
  const userId = await db.userWith(400)
  expect(await db.call("sync.activate", { userId, interval, now })).toEqual({
    active: true,
    interval,
    nextChargeAt,
    amountCharged: price,
    autoResume: false
  })
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 400 - price, total_spent: price })
  const [row] = await db.query("select * from credits.transactions where user_id = $1 and seq = 2", [userId])
  expect(row).toMatchObject({
    type: "usage",
    amount: -price,
    app_id: "sync",
    counter_account: "revenue:sync",
    metadata: { interval, periodStart: now.toISOString(), periodEnd: nextChargeAt }
  })
  expect(await chargesOf(db, userId)).toMatchObject([
    { period_start: now, period_end: new Date(nextChargeAt), credits: price, interval, transaction_id: row.id }
  ])
  expect(await eventsOf(db, userId)).toEqual(["sync.activated", "sync.charged"])
})

test("is monthly unless told otherwise", async () => {
  const userId = await db.userWith(30)
  expect(await db.call("sync.activate", { userId })).toMatchObject({ interval: "monthly", amountCharged: 30 })
})

test("counts from whole milliseconds, so that the next charge is the one shown", async () => {
  const userId = await db.userWith(60)
  const { nextChargeAt } = await db.call("sync.activate", { userId, now: "2027-03-01T00:00:00.123999Z" })
  expect(nextChargeAt).toBe("2027-04-01T00:00:00.123Z")
  await db.call("sync.charge_due", { now: nextChargeAt })
  expect(await chargesOf(db, userId)).toHaveLength(2)
})

test.each([
  ["29 credits", 29],
  ["no account", undefined]
])("refuses without enough credits: %s (CR002)", async (_what, credits) => {
  const userId = credits === undefined ? "stranger" : await db.userWith(credits)
  expect(await db.refused("sync.activate", { userId })).toMatchObject({
    sqlstate: "CR002",
    detail: { required: 30, available: credits ?? 0 }
  })
})

test("does not spend what is held (CR002)", async () => {
  const userId = await db.userWith(40)
  await db.call("credits.reserve", { userId, amount: 11, reason: "test" })
  expect(await db.refused("sync.activate", { userId })).toMatchObject({ sqlstate: "CR002", detail: { available: 29 } })
})

test("two at once: one charge, one refusal (CR101)", async () => {
  const userId = await db.userWith(100)
  const outcomes = await Promise.allSettled([1, 2].map(() => db.call("sync.activate", { userId })))
  expect(outcomes.map((outcome) => outcome.status).toSorted()).toEqual(["fulfilled", "rejected"])
  expect(outcomes.find((outcome) => outcome.status === "rejected")).toMatchObject({ reason: { code: "CR101" } })
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 70, version: 2 })
})

test("answers a key again without charging again; not for another request (CR003)", async () => {
  const userId = await db.userWith(100)
  const request = { userId, interval: "quarterly", idempotencyKey: "k1" }
  const first = await db.call("sync.activate", request)
  expect(await db.call("sync.activate", request)).toEqual({ ...first, replayed: true })
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 10, version: 2 })
  expect(await db.refused("sync.activate", { ...request, interval: "monthly" })).toMatchObject({ sqlstate: "CR003" })
})

test("a refusal doesn't burn its key", async () => {
  const userId = await db.userWith(10)
  const request = { userId, idempotencyKey: "k1" }
  expect(await db.refused("sync.activate", request)).toMatchObject({ sqlstate: "CR002" })
  await db.call("credits.grant", { userId, amount: 20, reason: "test", referenceId: "more" })
  expect(await db.call("sync.activate", request)).toMatchObject({ amountCharged: 30 })
})

test("costs nothing inside a period paid before, and keeps its dates", async () => {
  const userId = await db.userWith(30)
  await db.call("sync.activate", { userId, now })
  await db.call("sync.deactivate", { userId, now: later(5) })
  expect(await db.call("sync.activate", { userId, interval: "yearly", now: later(27) })).toMatchObject({
    active: true,
    interval: "yearly",
    amountCharged: 0,
    nextChargeAt: "2027-02-28T10:00:00.000Z"
  })
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 0, version: 2 })
  expect(await db.call("sync.status", { userId })).toMatchObject({ paidUntil: "2027-02-28T10:00:00.000Z", price: 360 })
})

test("charges a new period from now when the paid one is over", async () => {
  const userId = await db.userWith(60)
  await db.call("sync.activate", { userId, now })
  await db.call("sync.deactivate", { userId, now: later(5) })
  expect(await db.call("sync.activate", { userId, now: later(28) })).toMatchObject({
    amountCharged: 30,
    nextChargeAt: "2027-03-28T10:00:00.000Z"
  })
})

test("resumes a paused one with a new anchor; the time paused is not billed", async () => {
  const userId = await db.userWith(30)
  await db.call("sync.activate", { userId, now })
  await db.call("sync.charge_due", { now: later(28) })
  expect(await db.call("sync.status", { userId })).toMatchObject({
    active: false,
    pausedAt: later(28).toISOString(),
    nextChargeAt: null
  })
  await db.call("credits.grant", { userId, amount: 500, reason: "test", referenceId: "more" })
  expect(await db.call("sync.activate", { userId, now: later(200) })).toMatchObject({
    amountCharged: 30,
    nextChargeAt: "2027-09-19T10:00:00.000Z"
  })
  expect(await db.call("sync.status", { userId })).toMatchObject({ active: true, pausedAt: null })
  expect(await chargesOf(db, userId)).toHaveLength(2)
  expect(await eventsOf(db, userId)).toEqual([
    "sync.activated",
    "sync.charged",
    "sync.paused",
    "sync.resumed",
    "sync.charged"
  ])
})

test("waits for a gift under way, over which there is nothing to pay (CR103), and for nobody else's balance", async () => {
  const userId = await db.userWith(30)
  await holding(db, "select from credits.balances where user_id = $1 for update", [await db.userWith(1)])
  const [a, b] = [await session(db), await session(db)]
  await a.query("begin")
  await a.call("sync.gift", { userId, by: "admin-1", now })
  const activated = b.call("sync.activate", { userId, now })
  await b.waitsFor(a)
  await a.query("commit")
  expect(await activated).toEqual(refusedBy("CR103"))
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 30 })
})

test("names the intervals for sale in their order, wherever they lie", async () => {
  await db.query("update credits.sync_prices set sort_order = sort_order where interval = 'monthly'")
  expect(await db.refused("sync.activate", { userId: "stranger", interval: "weekly" })).toMatchObject({
    detail: { issues: [{ message: "must be one of monthly, quarterly, yearly" }] }
  })
})

test.each([
  ["interval", { interval: "weekly" }, "must be one of monthly, quarterly, yearly"],
  ["userId", { userId: "" }, "must be 1 to 128 characters"],
  ["autoResume", { autoResume: null }, "must be true or false"],
  ["idempotencyKey", { idempotencyKey: "" }, "must be 1 to 255 characters"]
])("refuses a wrong %s (CR001)", async (path, wrong, message) => {
  const userId = await db.userWith(100)
  expect(await db.refused("sync.activate", { userId, ...wrong })).toMatchObject({
    sqlstate: "CR001",
    detail: { issues: [{ path, message }] }
  })
})

test("refuses an interval that isn't for sale first, whatever else there is to refuse (CR001)", async () => {
  const userId = await db.userWith(100)
  await db.call("sync.activate", { userId })
  expect(await db.refused("sync.activate", { userId, interval: "weekly" })).toEqual(invalid("interval"))
})
