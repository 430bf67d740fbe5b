import { beforeAll, expect, test } from "vitest"
import { found } from "../../support/damage.ts"
import { database } from "../../support/database.ts"
import { dispute, paid, type Purchase, send } from "../../support/stripe.ts"

const db = await database()

/** Bought 1,050 credits, spent 1,000, and the bank took the money back: 50 taken, 10 paid of the rest, 990 owed. */
let purchase: Purchase

beforeAll(async () => {
  purchase = await paid(db)
  const { userId } = purchase
  await db.call("credits.use", { userId, amount: 1000, appId: "chat", description: "Answers" })
  await send(db, dispute(purchase, "funds_withdrawn"))
  await db.call("credits.grant", { userId, amount: 10, reason: "test", referenceId: "a" })
})

const change = (set: string) => `update credits.purchases set ${set} where id = '${purchase.purchaseId}'`

test("finds nothing wrong with a payment that was taken back and is owed", async () => {
  expect(await found(db)).toEqual([])
})

test("finds credits that are kept and shouldn't be", async () => {
  expect(await found(db, change("credits_kept = 7"))).toEqual(["purchase_kept"])
})

test("finds a status that doesn't follow from the facts", async () => {
  expect(await found(db, change("status = 'completed'"))).toEqual(["purchase_facts"])
})

test("finds money given back that no dispute reports", async () => {
  const damage = change("disputed_euro_cents = 0, status = 'completed'")
  expect(await found(db, damage)).toEqual(["purchase_facts", "purchase_kept"])
})

test("finds a dispute that is gone", async () => {
  expect(await found(db, "delete from credits.purchase_disputes")).toEqual(["purchase_facts"])
})

test("finds a purchase that names another ledger row as its credit", async () => {
  const damage = change(`transaction_id = (select id from credits.transactions where type = 'grant')`)
  expect(await found(db, damage)).toEqual(["purchase_credit", "purchase_kept", "purchase_once"])
})

test("finds credits of a purchase that isn't there", async () => {
  const forged = `
    select credits.post(
      credits.lock_balance('forger'),
      jsonb_populate_record(
        null::credits.posting,
        '{"type": "purchase", "amount": 5, "counter_account": "stripe", "description": "forged", "caller": "test"}'
      ),
      now()
    )`
  expect(await found(db, forged)).toEqual(["purchase_once"])
})

test("finds a debt that isn't written down", async () => {
  expect(await found(db, "update credits.balances set debt = debt + 1")).toEqual(["debt_sum"])
})

test("finds a debt that nobody collected", async () => {
  const { userId } = purchase
  const damage = [
    `update credits.balances set debt = 0 where user_id = '${userId}'`,
    `select credits.grant('${userId}', 5, 'test', 'b')`,
    `update credits.balances set debt = 990 where user_id = '${userId}'`
  ]
  expect(await found(db, ...damage)).toEqual(["debt_first"])
})

test("finds a debt paid with what the ledger doesn't have", async () => {
  const damage = "update credits.debts set amount = -9 where kind = 'paid'"
  expect(await found(db, damage)).toEqual(["debt_paid", "debt_sum", "purchase_kept"])
})
