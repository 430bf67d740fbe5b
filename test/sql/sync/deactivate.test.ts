import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { invalid, refusedBy } from "../../support/refusals.ts"
import { holding, session } from "../../support/session.ts"
import { eventsOf } from "./subscribers.ts"

const db = await database()
const now = new Date("2027-01-31T10:00:00.000Z")

test("ends sync and remembers the time paid for", async () => {
  const userId = await db.userWith(100)
  await db.call("sync.activate", { userId, now })
  const paidUntil = "2027-02-28T10:00:00.000Z"
  expect(await db.call("sync.deactivate", { userId, now: "2027-02-01T00:00:00Z" })).toEqual({
    active: false,
    paidUntil
  })
  expect(await db.call("sync.status", { userId })).toMatchObject({ active: false, nextChargeAt: null, paidUntil })
  expect(await eventsOf(db, userId)).toEqual(["sync.activated", "sync.charged", "sync.deactivated"])
})

test("is charged no more, not even for a period that is due", async () => {
  const userId = await db.userWith(100)
  await db.call("sync.activate", { userId, now })
  await db.call("sync.deactivate", { userId, now: "2027-03-10T00:00:00Z" })
  await db.call("sync.charge_due", { now: "2027-06-01T00:00:00Z" })
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 70 })
})

test("ends a paused one too: credits that arrive later don't resume it", async () => {
  const userId = await db.userWith(30)
  await db.call("sync.activate", { userId, autoResume: true, now })
  await db.call("sync.charge_due", { now: "2027-03-01T00:00:00Z" })
  await db.call("sync.deactivate", { userId, now: "2027-03-02T00:00:00Z" })
  await db.call("credits.grant", { userId, amount: 100, reason: "test", referenceId: "more" })
  expect(await db.call("sync.status", { userId })).toMatchObject({ active: false, pausedAt: null })
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 100 })
})

test("refuses who has no sync (CR102), and no user at all (CR001)", async () => {
  const userId = await db.userWith(100)
  expect(await db.refused("sync.deactivate", { userId })).toEqual(refusedBy("CR102"))
  expect(await db.refused("sync.deactivate", { userId: "stranger" })).toEqual(refusedBy("CR102"))
  expect(await db.refused("sync.deactivate", { userId: "" })).toEqual(invalid("userId"))
  await db.call("sync.activate", { userId, now })
  await db.call("sync.deactivate", { userId, now })
  expect(await db.refused("sync.deactivate", { userId, now })).toEqual(refusedBy("CR102"))
})

test("waits for a gift under way, which it then can't end (CR103), and for nobody else's balance", async () => {
  const userId = await db.userWith(30)
  await holding(db, "select from credits.balances where user_id = $1 for update", [await db.userWith(1)])
  await db.call("sync.activate", { userId, now })
  const [a, b] = [await session(db), await session(db)]
  await a.query("begin")
  await a.call("sync.gift", { userId, by: "admin-1", now })
  const ended = b.call("sync.deactivate", { userId, now })
  await b.waitsFor(a)
  await a.query("commit")
  expect(await ended).toEqual(refusedBy("CR103"))
})

test("ends only that user's, and forgets only that user's trouble", async () => {
  const [userId, other] = [await db.userWith(30), await db.userWith(30)]
  for (const each of [userId, other]) {
    await db.call("sync.activate", { userId: each, now })
    await db.query("select sync.record_error($1, 'P0001', 'test', $2)", [each, now])
  }
  await db.call("sync.deactivate", { userId, now })
  expect(await db.call("sync.status", { userId: other })).toMatchObject({ active: true })
  const troubled = await db.query("select user_id from credits.sync_charge_errors where user_id = any($1)", [
    [userId, other]
  ])
  expect(troubled).toEqual([{ user_id: other }])
})
