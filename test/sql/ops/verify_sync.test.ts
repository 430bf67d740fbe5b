import { beforeAll, expect, test } from "vitest"
import { afterDamage, found } from "../../support/damage.ts"
import { database } from "../../support/database.ts"

const db = await database()
const now = new Date("2027-01-31T10:00:00.000Z")

beforeAll(async () => {
  await db.call("credits.grant", { userId: "ann", amount: 500, reason: "test", referenceId: "r", now })
  await db.call("sync.activate", { userId: "ann", now })
  await db.call("sync.charge_due", { now: "2027-04-01T00:00:00Z" })
  // Given to Bob for longer than he had paid: he is to be charged from the end of the gift on, whenever that was.
  const bob = { userId: "bob", by: "Ada" }
  await db.call("credits.grant", { userId: "bob", amount: 30, reason: "test", referenceId: "r", now })
  await db.call("sync.activate", { userId: "bob", now })
  await db.call("sync.gift", { ...bob, now })
  await db.call("sync.revoke_gift", { ...bob, now: "2027-04-15T00:00:00Z" })
})

const last = "period_start = '2027-03-31T10:00Z'"

test.each([
  ["nothing wrong", "select", []],
  [
    "nothing wrong, whatever places the rows have",
    "update credits.sync_charges set credits = credits where period_start < '2027-03-01'",
    []
  ],
  [
    "a charge whose ledger row is missing",
    `update credits.sync_charges set transaction_id = uuidv7() where ${last}`,
    ["sync_charge", "sync_ledger"]
  ],
  ["a charge of another amount", `update credits.sync_charges set credits = 29 where ${last}`, ["sync_charge"]],
  [
    "a ledger row without its charge",
    `delete from credits.sync_charges where ${last}`,
    ["sync_ledger", "sync_paid_until"]
  ],
  [
    "a ledger row that pays twice",
    `insert into credits.sync_charges
     select user_id, '2026-01-31T10:00Z', '2026-02-28T10:00Z', interval, credits, transaction_id, created_at
     from credits.sync_charges where ${last}`,
    ["sync_ledger"]
  ],
  [
    "periods that overlap",
    `update credits.sync_charges set period_start = '2027-03-30T10:00Z' where ${last}`,
    ["sync_overlap"]
  ],
  [
    "paid until another day",
    "update credits.sync_subscriptions set paid_until = '2027-05-05T10:00Z' where user_id = 'ann'",
    ["sync_next_charge", "sync_paid_until"]
  ],
  [
    "a next charge that doesn't follow from the anchor",
    "update credits.sync_subscriptions set next_charge_at = '2027-04-29T10:00Z'",
    ["sync_next_charge"]
  ],
  [
    "an anchor from which neither the paid time nor the next charge follows",
    "update credits.sync_subscriptions set anchor = anchor + interval '1 day' where user_id = 'ann'",
    ["sync_next_charge"]
  ],
  [
    "a subscription that lost its row",
    "delete from credits.sync_subscriptions where user_id = 'ann'",
    ["sync_paid_until"]
  ]
])("%s", async (_what, damage, invariants) => {
  expect(await found(db, damage)).toEqual(invariants)
})

test.each(["type = 'adjustment'", "counter_account = 'revenue:chat'"])(
  "finds a charge whose ledger row is none of sync's: %s",
  async (set) => {
    const ofLast = `select transaction_id from credits.sync_charges where ${last}`
    const damage = `update credits.transactions set ${set} where id = (${ofLast})`
    expect(await found(db, damage)).toContain("sync_charge")
  }
)

test("names whose subscription lost its row", async () => {
  const asked = { text: "select user_id from ops.verify_sync()" }
  expect(await afterDamage(db, ["delete from credits.sync_subscriptions where user_id = 'ann'"], asked)).toEqual([
    [{ user_id: "ann" }]
  ])
})

test("a debit that calls itself sync is not a sync charge", async () => {
  const metadata = { periodStart: now.toISOString(), interval: "monthly" }
  await db.call("credits.use", {
    userId: "ann",
    amount: 30,
    appId: "sync",
    description: "Cloud Sync, monthly",
    metadata
  })
  expect(await found(db)).toEqual([])
})
