import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { dispute, paid, refund, send, standing } from "../../support/stripe.ts"

const db = await database()

const spend = (userId: string, amount: number) =>
  db.call("credits.use", { userId, amount, appId: "chat", description: "Answers" })

/** A user who bought 1,050 credits, spent them all, and whose bank took the money back. */
const indebted = async () => {
  const purchase = await paid(db)
  await spend(purchase.userId, 1050)
  await send(db, dispute(purchase, "closed", { status: "lost" }))
  expect(await standing(db, purchase)).toMatchObject({ balance: 0, debt: 1050 })
  return purchase
}

test("credits that come in pay the debt first, whatever brings them", async () => {
  const purchase = await indebted()
  const { userId } = purchase
  const grant = { userId, amount: 300, reason: "test", referenceId: "a" }
  expect(await db.call("credits.grant", grant)).toMatchObject({ newBalance: 0 })
  const [debited] = await db.query(
    "select id from credits.transactions where user_id = $1 and type = 'usage' limit 1",
    [userId]
  )
  const back = { userId, amount: 500, description: "It didn't work", transactionId: debited.id }
  expect(await db.call("credits.refund", back)).toMatchObject({ newBalance: { balance: 0 } })
  expect(await standing(db, purchase)).toMatchObject({ balance: 0, debt: 250 })
  await paid(db, { packageId: "credits_500" }, userId)
  expect(await db.call("credits.balance", { userId })).toMatchObject({ balance: 250, debt: 0 })
})

test("writes what it takes into the ledger, beside the payment it is owed for", async () => {
  const { userId, purchaseId } = await indebted()
  await db.call("credits.grant", { userId, amount: 300, reason: "test", referenceId: "a" })
  const rows = await db.query(
    `select t.type, t.amount, t.counter_account, t.metadata, r.type as related
     from credits.transactions t left join credits.transactions r on r.id = t.related_transaction_id
     where t.user_id = $1 order by t.seq`,
    [userId]
  )
  expect(rows.slice(-2)).toEqual([
    expect.objectContaining({ type: "grant", amount: 300 }),
    { type: "clawback", amount: -300, counter_account: "stripe", metadata: { purchaseId }, related: "purchase" }
  ])
})

test("a hold stays held; what it sets free pays", async () => {
  const purchase = await paid(db)
  const { userId } = purchase
  const now = new Date("2026-03-01T12:00:00Z")
  const hold = async (amount: number) => {
    const reserved = await db.call("credits.reserve", { userId, amount, reason: "call", expiresInSeconds: 60, now })
    return reserved.reservationId
  }
  const [captured, released] = [await hold(400), await hold(300)]
  await hold(350)
  await send(db, dispute(purchase, "funds_withdrawn"))
  expect(await db.call("credits.balance", { userId })).toMatchObject({ balance: 0, held: 1050, debt: 1050 })
  expect(await db.call("credits.commit", { reservationId: captured, amount: 100, now })).toMatchObject({ balance: 0 })
  expect(await db.call("credits.balance", { userId })).toMatchObject({ balance: 0, held: 650, debt: 750 })
  expect(await db.call("credits.release", { reservationId: released, now })).toEqual({ balance: 0 })
  expect(await db.call("credits.balance", { userId })).toMatchObject({ balance: 0, held: 350, debt: 450 })
  await db.call("credits.expire_reservations", { now: new Date("2026-03-01T12:02:00Z") })
  expect(await db.call("credits.balance", { userId })).toMatchObject({ balance: 0, held: 0, debt: 100 })
})

test("pays several debts, the oldest first, and each purchase knows what is still owed for it", async () => {
  const { userId } = await indebted()
  const second = await paid(db, {}, userId) // 1,050 more pay the first debt
  expect(await db.call("credits.balance", { userId })).toMatchObject({ balance: 0, debt: 0 })
  await send(db, refund(second, "created", { refundId: "re_s", amount: 1000 }))
  const third = await paid(db, { packageId: "credits_500" }, userId)
  expect(await db.call("credits.balance", { userId })).toMatchObject({ balance: 0, debt: 550 })
  await send(db, refund(third, "created", { refundId: "re_t", amount: 500 }))
  await db.call("credits.grant", { userId, amount: 600, reason: "test", referenceId: "a" })
  const debts = await db.query(
    "select purchase_id, sum(amount)::bigint as owed from credits.debts where user_id = $1 group by 1 order by 2",
    [userId]
  )
  expect(debts.slice(-1)).toEqual([{ purchase_id: third.purchaseId, owed: 450 }])
  expect(await db.call("credits.balance", { userId })).toMatchObject({ balance: 0, debt: 450 })
})

test("the oldest debt isn't that of the oldest purchase", async () => {
  const first = await paid(db)
  const { userId } = first
  const second = await paid(db, {}, userId)
  await spend(userId, 2100)
  await send(db, dispute(second, "closed", { status: "lost" }), dispute(first, "closed", { status: "lost" }))
  await db.call("credits.grant", { userId, amount: 1050, reason: "test", referenceId: "a" })
  const owed = await db.query(
    "select purchase_id from credits.debts where user_id = $1 group by 1 having sum(amount) > 0",
    [userId]
  )
  expect(owed).toEqual([{ purchase_id: first.purchaseId }])
})

test("what comes back for one payment leaves the debt of another to be paid", async () => {
  const first = await paid(db)
  const { userId } = first
  await spend(userId, 1050)
  await send(db, dispute(first, "funds_withdrawn", { booked: [-1000] }))
  await db.call("credits.grant", { userId, amount: 1050, reason: "test", referenceId: "a" })
  const second = await paid(db, {}, userId)
  await spend(userId, 1050)
  await send(db, dispute(second, "closed", { disputeId: "du_second", status: "lost" }))
  expect(await db.call("credits.balance", { userId })).toMatchObject({ balance: 0, debt: 1050 })
  await send(db, dispute(first, "funds_reinstated", { booked: [-1000, 1000], status: "won" }))
  expect(await db.call("credits.balance", { userId })).toMatchObject({ balance: 0, debt: 0 })
  const owed = await db.query(
    "select purchase_id, sum(amount)::bigint as owed from credits.debts where user_id = $1 group by 1 order by 1",
    [userId]
  )
  expect(owed).toEqual([
    { purchase_id: first.purchaseId, owed: 0 },
    { purchase_id: second.purchaseId, owed: 0 }
  ])
})

test("stops at the debt for which nothing is left", async () => {
  const first = await indebted()
  const { userId } = first
  await db.call("credits.grant", { userId, amount: 1050, reason: "test", referenceId: "a" })
  const later = [await paid(db, {}, userId), await paid(db, {}, userId)]
  await spend(userId, 2100)
  for (const purchase of later) await send(db, dispute(purchase, "closed", { status: "lost" }))
  await db.call("credits.grant", { userId, amount: 300, reason: "test", referenceId: "b" })
  expect(await db.call("credits.balance", { userId })).toMatchObject({ balance: 0, debt: 1800 })
})

test("the balance as it was knows the debt as it was", async () => {
  const { userId } = await indebted()
  const [{ incurred }] = await db.query("select max(created_at) as incurred from credits.debts where user_id = $1", [
    userId
  ])
  const at = new Date(incurred.getTime() + 1) // the row has microseconds
  const now = new Date(incurred.getTime() + 1000)
  await db.call("credits.grant", { userId, amount: 1100, reason: "test", referenceId: "a", now })
  expect(await db.call("credits.balance", { userId, at })).toMatchObject({ balance: 0, debt: 1050 })
  expect(await db.call("credits.balance", { userId, at: now })).toMatchObject({ balance: 50, debt: 0 })
})

test("spending is refused while there is a debt and nothing else (CR002)", async () => {
  const { userId } = await indebted()
  expect(await db.refused("credits.use", { userId, amount: 1, appId: "chat", description: "An answer" })).toMatchObject(
    { sqlstate: "CR002", detail: { required: 1, available: 0 } }
  )
})
