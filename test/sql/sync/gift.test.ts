import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { badTexts, invalid } from "../../support/refusals.ts"
import { eventsOf } from "./subscribers.ts"

const db = await database()
const now = new Date("2027-01-31T10:00:00.000Z")
const later = (days: number) => new Date(now.getTime() + days * 86_400_000)

test("is active without charge, for a user nobody has seen; who gave it and when is kept", async () => {
  expect(await db.call("sync.gift", { userId: "new", by: "admin-1", now })).toEqual({
    userId: "new",
    active: true,
    status: "inactive",
    interval: "monthly",
    nextChargeAt: null,
    pausedAt: null,
    paidUntil: null,
    gifted: true,
    price: 30,
    autoResume: false,
    giftedBy: "admin-1",
    giftedAt: now.toISOString(),
    giftRevokedBy: null,
    giftRevokedAt: null,
    pausedBy: null,
    pausedWhy: null,
    charges: []
  })
  expect(await db.balanceRow("new")).toMatchObject({ balance: 0, version: 0 })
  expect(await db.call("sync.charge_due", { now: later(1000) })).toEqual({ charged: 0, paused: 0, errors: 0, total: 0 })

  expect(await db.call("sync.revoke_gift", { userId: "new", by: "admin-2", now: later(5) })).toMatchObject({
    active: false,
    gifted: false,
    giftedBy: "admin-1",
    giftRevokedBy: "admin-2",
    giftRevokedAt: later(5).toISOString()
  })
  expect(await eventsOf(db, "new")).toEqual(["sync.activated", "sync.deactivated"])
})

test("given twice, the first stays", async () => {
  const userId = await db.userWith(0)
  const first = await db.call("sync.gift", { userId, by: "admin-1", now })
  expect(await db.call("sync.gift", { userId, by: "admin-2", now: later(1) })).toEqual(first)
})

test("can be given again after it was revoked", async () => {
  const userId = await db.userWith(0)
  await db.call("sync.gift", { userId, by: "admin-1", now })
  await db.call("sync.revoke_gift", { userId, by: "admin-1", now: later(1) })
  expect(await db.call("sync.gift", { userId, by: "admin-3", now: later(2) })).toMatchObject({
    gifted: true,
    giftedBy: "admin-3",
    giftRevokedBy: null
  })
})

test("nobody who gives, nobody who gets (CR001)", async () => {
  const userId = await db.userWith(0)
  for (const { text } of badTexts(128))
    expect(await db.refused("sync.gift", { userId, by: text })).toEqual(invalid("by"))
  expect(await db.refused("sync.gift", { userId: "", by: "admin-1" })).toEqual(invalid("userId"))
})

test("its owner can't activate, deactivate or change it (CR103)", async () => {
  const userId = await db.userWith(100)
  await db.call("sync.gift", { userId, by: "admin-1", now })
  const gifted = { sqlstate: "CR103", message: expect.any(String), detail: { giftedAt: now.toISOString() } }
  expect(await db.refused("sync.activate", { userId })).toEqual(gifted)
  expect(await db.refused("sync.deactivate", { userId })).toEqual(gifted)
  expect(await db.refused("sync.change_interval", { userId, interval: "yearly" })).toEqual(gifted)
})
