import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { dispute, paid, send } from "../../support/stripe.ts"

// The books are damaged on purpose.
const db = await database({ verify: false })

const wrong = async (userId: string): Promise<ReadonlyArray<string>> => {
  const rows = await db.query("select * from ops.verify_purchases()")
  return rows.filter((row) => row.user_id === userId).map((row) => row.invariant)
}

/** A user with a purchase, 50 of its credits left, the rest spent and owed. */
const indebted = async () => {
  const purchase = await paid(db)
  const { userId } = purchase
  await db.call("credits.use", { userId, amount: 1000, appId: "chat", description: "Answers" })
  await send(db, dispute(purchase, "funds_withdrawn"))
  await db.call("credits.grant", { userId, amount: 10, reason: "test", referenceId: "a" })
  return userId
}

test("true books have nothing to report", async () => {
  await indebted()
  expect(await db.query("select * from ops.verify()")).toEqual([])
})

test.each([
  { what: "a purchase that says it keeps more", invariants: ["purchase_kept"], set: "credits_kept = 7" },
  { what: "a status that doesn't follow", invariants: ["purchase_facts"], set: "status = 'completed'" },
  {
    what: "money given back that no dispute reports",
    invariants: ["purchase_facts", "purchase_kept"],
    set: "disputed_euro_cents = 0, status = 'completed'"
  }
])("finds $what", async ({ invariants, set }) => {
  const userId = await indebted()
  await db.query(`update credits.purchases set ${set} where user_id = $1`, [userId])
  expect((await wrong(userId)).toSorted()).toEqual(invariants)
})

test("finds credits of a purchase that isn't there", async () => {
  const userId = await db.userWith(0)
  await db.query(
    `select credits.post(credits.lock_balance($1), row(
       null, 'purchase', 5, 'stripe', null, 'forged', null, null, null, 'test', null)::credits.posting, now())`,
    [userId]
  )
  expect(await wrong(userId)).toEqual(["purchase_once"])
})

test("finds a debt that isn't written down, and one that nobody collected", async () => {
  const userId = await indebted()
  await db.query("update credits.balances set debt = debt + 1 where user_id = $1", [userId])
  expect(await wrong(userId)).toEqual(["debt_sum"])
  const rich = await db.userWith(5)
  await db.query("update credits.balances set debt = 1 where user_id = $1", [rich])
  expect((await wrong(rich)).toSorted()).toEqual(["debt_first", "debt_sum"])
})
