import { beforeAll, expect, test } from "vitest"
import { afterDamage, found } from "../../support/damage.ts"
import { database } from "../../support/database.ts"
import { begin, chargeRefunded, dispute, paid, type Purchase, refund, send } from "../../support/stripe.ts"

const db = await database()

/** Bought 1,050 credits, spent 1,000, and the bank took the money back: 50 taken, 10 paid of the rest, 990 owed. */
let purchase: Purchase
/** Bought by somebody else, and nothing came of it since. */
let whole: Purchase

/** Somebody who bought twice and spent it all: of one payment a part came back in every way, of the other a little. */
const boughtTwice = async () => {
  const first = await paid(db)
  const second = await paid(db, {}, first.userId)
  const { userId } = first
  await db.call("credits.use", { userId, amount: 2 * first.credits, appId: "chat", description: "Answers" })
  await send(
    db,
    refund(first, "created", { refundId: "re_made", amount: 300 }),
    refund(first, "failed", { refundId: "re_failed", amount: 200 }),
    chargeRefunded(first, 500),
    // Less was withdrawn than is disputed, and a part of that came back.
    dispute(first, "funds_withdrawn", { amount: 400, booked: [-350, 100] }),
    chargeRefunded(second, 100)
  )
}

beforeAll(async () => {
  whole = await paid(db)
  await begin(db)
  await boughtTwice()
  purchase = await paid(db)
  const { userId } = purchase
  await db.call("credits.use", { userId, amount: 1000, appId: "chat", description: "Answers" })
  await send(db, dispute(purchase, "funds_withdrawn"))
  await db.call("credits.grant", { userId, amount: 10, reason: "test", referenceId: "a" })
})

const change = (set: string, { purchaseId } = purchase) =>
  `update credits.purchases set ${set} where id = '${purchaseId}'`

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

test("finds a refund that is gone, and one that failed after all", async () => {
  const gone = "delete from credits.purchase_refunds where id = 're_failed'"
  expect(await found(db, gone)).toEqual(["purchase_facts"])
  const failed = "update credits.purchase_refunds set failed = true where id = 're_made'"
  expect(await found(db, failed)).toEqual(["purchase_facts"])
})

test("finds a paid purchase that names no ledger row", async () => {
  expect(await found(db, change("transaction_id = uuidv7()", whole))).toEqual([
    "purchase_credit",
    "purchase_kept",
    "purchase_once"
  ])
})

test("finds a ledger row of other credits than were bought", async () => {
  const damage = change("credits = credits + 1, credits_kept = credits_kept + 1", whole)
  expect(await found(db, damage)).toEqual(["purchase_credit", "purchase_kept"])
})

test("finds a purchase that names another ledger row as its credit", async () => {
  const damage = change(`transaction_id = (select id from credits.transactions where type = 'grant')`)
  const invariants = ["purchase_credit", "purchase_kept", "purchase_ledger", "purchase_once"]
  expect(await found(db, damage)).toEqual(invariants)
})

test("finds a purchase that names a grant of the same amount as its credit", async () => {
  const { userId, purchaseId, credits } = whole
  const damage = [
    `select credits.grant('${userId}', ${credits}, 'test', 'instead')`,
    `update credits.purchases set transaction_id = (
       select id from credits.transactions where user_id = '${userId}' and type = 'grant'
     ) where id = '${purchaseId}'`
  ]
  expect(await found(db, ...damage)).toEqual(["purchase_credit", "purchase_kept", "purchase_once"])
})

test.each([
  ["purchase", 5, "purchase_once"],
  ["adjustment", 5, "purchase_ledger"],
  ["clawback", -5, "purchase_ledger"]
])("finds a %s of %s credits of a purchase that isn't there", async (type, amount, invariant) => {
  const forged = `
    select credits.post(
      credits.lock_balance(u.user_id),
      jsonb_populate_record(
        null::credits.posting,
        '{"type": "${type}", "amount": ${amount}, "counter_account": "stripe", "description": "forged", "caller": "test"}'
      ),
      now()
    )
    from (select '${await db.userWith(10)}'::text as user_id) u`
  expect(await found(db, forged)).toEqual([invariant])
})

test("finds what somebody else's ledger has of a purchase", async () => {
  const other = await db.userWith(10)
  const taken = `
    select credits.post(
      b,
      jsonb_populate_record(
        null::credits.posting,
        jsonb '{"type": "clawback", "amount": -5, "counter_account": "stripe", "description": "forged", "caller": "test"}'
          || jsonb_build_object('related_transaction_id', p.transaction_id)
      ),
      now()
    )
    from credits.balances b, credits.purchases p
    where b.user_id = '${other}' and p.id = '${whole.purchaseId}'`
  expect(await found(db, taken)).toEqual(["purchase_ledger"])
})

/** A ledger row of the purchase nothing came of, as its own function would write it. */
const posted = (posting: object) => {
  const { userId, purchaseId } = whole
  const text = JSON.stringify({ description: "By hand", caller: "test", ...posting })
  return `
    select credits.post(
      credits.lock_balance('${userId}'),
      jsonb_populate_record(
        null::credits.posting,
        jsonb '${text}' || jsonb_build_object(
          'related_transaction_id', (select transaction_id from credits.purchases where id = '${purchaseId}')
        )
      ),
      now()
    )`
}

const owed = (kind: string, amount: number, transaction: string) => `
  insert into credits.debts (user_id, purchase_id, kind, amount, transaction_id, created_at)
  values ('${whole.userId}', '${whole.purchaseId}', '${kind}', ${amount}, ${transaction}, now())`

const lastRow = () =>
  `(select id from credits.transactions where user_id = '${whole.userId}' order by seq desc limit 1)`

test("what other accounts gave because of a purchase isn't the payment's", async () => {
  expect(await found(db, posted({ type: "adjustment", amount: 5, counter_account: "adjustments" }))).toEqual([])
})

test("what somebody else's ledger names it for isn't its buyer's either", async () => {
  const posting = posted({ type: "adjustment", amount: 5, counter_account: "stripe" })
  const damage = [posting.replace(`lock_balance('${whole.userId}')`, "lock_balance('somebody else')")]
  const named = { text: "select invariant from ops.verify() where user_id = $1", values: [whole.userId] }
  expect(await afterDamage(db, damage, named)).toEqual([[]])
})

test("finds more paid than was ever owed", async () => {
  const damage = [posted({ type: "clawback", amount: -5, counter_account: "stripe" }), owed("paid", -5, lastRow())]
  expect(await found(db, ...damage)).toEqual(["debt_sum", "purchase_kept"])
})

test("finds a debt paid by what isn't a clawback", async () => {
  const damage = [
    owed("incurred", 5, "null"),
    posted({ type: "adjustment", amount: -5, counter_account: "stripe" }),
    owed("paid", -5, lastRow())
  ]
  expect(await found(db, ...damage)).toEqual(["debt_paid", "purchase_kept"])
})

test("finds a debt that isn't written down", async () => {
  const damage = `update credits.balances set debt = debt + 1 where user_id = '${purchase.userId}'`
  expect(await found(db, damage)).toEqual(["debt_sum"])
})

test("finds a debt of somebody who has none written down, and says what they could pay with", async () => {
  const { userId, credits } = whole
  const damage = `update credits.balances set debt = 5, held = 50 where user_id = '${userId}'`
  const asked = { text: "select * from ops.verify_purchases() order by invariant" }
  expect(await afterDamage(db, [damage], asked)).toEqual([
    [
      { invariant: "debt_first", user_id: userId, detail: `owes 5 with ${credits - 50} spendable` },
      { invariant: "debt_sum", user_id: userId, detail: "debt 5, debts add up to 0" }
    ]
  ])
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
