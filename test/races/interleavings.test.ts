import { expect, test } from "vitest"
import { database } from "../support/database.ts"
import { notEnough, reservationClosed } from "../support/refusals.ts"
import { session } from "../support/session.ts"

/** Two sessions, step by step: who waits for whom, and what each gets to see. */
const db = await database()

const debit = { amount: 60, appId: "chat", description: "An answer" }
const now = new Date("2026-03-01T12:00:00Z")
const expiresAt = new Date("2026-03-01T12:01:00Z")

const held = async () => {
  const userId = await db.userWith(100)
  const hold = { userId, amount: 40, reason: "a call", expiresInSeconds: 60, now }
  const { reservationId } = await db.call("credits.reserve", hold)
  return { userId, reservationId }
}

test("a debit waits for a debit, and sees what it left (CR002)", async () => {
  const userId = await db.userWith(100)
  const [a, b] = [await session(db), await session(db)]
  await a.query("begin")
  await a.call("credits.use", { userId, ...debit })
  const second = b.call("credits.use", { userId, ...debit })
  await b.waitsFor(a)
  await a.query("commit")
  expect(await second).toEqual(notEnough(60, 40))
})

test("a debit waits for a debit that is rolled back, and has the whole balance", async () => {
  const userId = await db.userWith(100)
  const [a, b] = [await session(db), await session(db)]
  await a.query("begin")
  await a.call("credits.use", { userId, ...debit })
  const second = b.call("credits.use", { userId, ...debit })
  await b.waitsFor(a)
  await a.query("rollback")
  expect(await second).toMatchObject({ newBalance: { balance: 40 } })
})

test("debits of different users don't wait for each other", async () => {
  const [one, other] = [await db.userWith(100), await db.userWith(100)]
  const a = await session(db)
  await a.query("begin")
  await a.call("credits.use", { userId: one, ...debit })
  expect(await db.call("credits.use", { userId: other, ...debit })).toMatchObject({ newBalance: { balance: 40 } })
  await a.query("commit")
})

test("reading a balance and its history waits for nobody", async () => {
  const userId = await db.userWith(100)
  const a = await session(db)
  await a.query("begin")
  await a.call("credits.use", { userId, ...debit })
  expect(await db.call("credits.balance", { userId })).toMatchObject({ balance: 100 })
  expect(await db.call("credits.history", { userId })).toMatchObject({ transactions: [{ amount: 100 }] })
  await a.query("commit")
})

test("a replay waits for the first call, and answers the same", async () => {
  const userId = await db.userWith(100)
  const request = { userId, ...debit, idempotencyKey: "k" }
  const [a, b] = [await session(db), await session(db)]
  await a.query("begin")
  const first = await a.call("credits.use", request)
  const replay = b.call("credits.use", request)
  await b.waitsFor(a)
  await a.query("commit")
  expect(await replay).toEqual({ ...Object(first), replayed: true })
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 40 })
})

test("a replay waits for a first call that is rolled back, and is the first itself", async () => {
  const userId = await db.userWith(100)
  const request = { userId, ...debit, idempotencyKey: "k" }
  const [a, b] = [await session(db), await session(db)]
  await a.query("begin")
  await a.call("credits.use", request)
  const replay = b.call("credits.use", request)
  await b.waitsFor(a)
  await a.query("rollback")
  expect(await replay).not.toHaveProperty("replayed")
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 40 })
})

test("a grant waits for the grant that opens the account, and adds to it", async () => {
  const grant = { userId: "new", amount: 10, reason: "test" }
  const [a, b] = [await session(db), await session(db)]
  await a.query("begin")
  await a.call("credits.grant", { ...grant, referenceId: "a" })
  const second = b.call("credits.grant", { ...grant, referenceId: "b" })
  await b.waitsFor(a)
  await a.query("commit")
  expect(await second).toMatchObject({ alreadyGranted: false, newBalance: 20 })
})

test("a grant waits for the same grant, and doesn't give again", async () => {
  const grant = { userId: "new too", amount: 10, reason: "test", referenceId: "r" }
  const [a, b] = [await session(db), await session(db)]
  await a.query("begin")
  const first = await a.call("credits.grant", grant)
  const second = b.call("credits.grant", grant)
  await b.waitsFor(a)
  await a.query("commit")
  expect(await second).toEqual({ ...Object(first), alreadyGranted: true })
})

test("a grant that opens the account is nothing to spend before it is committed (CR002)", async () => {
  const a = await session(db)
  await a.query("begin")
  await a.call("credits.grant", { userId: "not yet", amount: 100, reason: "test", referenceId: "r" })
  expect(await db.refused("credits.use", { userId: "not yet", ...debit })).toEqual(notEnough(60, 0))
  await a.query("commit")
  expect(await db.call("credits.use", { userId: "not yet", ...debit })).toMatchObject({ newBalance: { balance: 40 } })
})

test("two refunds of one charge: the second sees the first (CR005)", async () => {
  const userId = await db.userWith(100)
  const { transaction } = await db.call("credits.use", { userId, ...debit })
  const refund = { userId, amount: 60, description: "Sorry", transactionId: transaction.id }
  const [a, b] = [await session(db), await session(db)]
  await a.query("begin")
  await a.call("credits.refund", refund)
  const second = b.call("credits.refund", refund)
  await b.waitsFor(a)
  await a.query("commit")
  expect(await second).toMatchObject({ sqlstate: "CR005", detail: { charged: 60, refunded: 60, refundable: 0 } })
})

test("a commit waits for the sweep that expires its hold (CR007)", async () => {
  const { reservationId } = await held()
  const [a, b] = [await session(db), await session(db)]
  await a.query("begin")
  expect(await a.call("credits.expire_reservations", { now: expiresAt })).toEqual({ expired: 1 })
  // Its clock is behind: for this caller the hold hasn't expired.
  const commit = b.call("credits.commit", { reservationId, now })
  await b.waitsFor(a)
  await a.query("commit")
  expect(await commit).toEqual(reservationClosed(reservationId, "expired"))
})

test("the sweep passes by a hold that is being committed", async () => {
  const { reservationId, userId } = await held()
  const a = await session(db)
  await a.query("begin")
  await a.call("credits.commit", { reservationId, now })
  expect(await db.call("credits.expire_reservations", { now: expiresAt })).toEqual({ expired: 0 })
  await a.query("commit")
  expect(await db.call("credits.expire_reservations", { now: expiresAt })).toEqual({ expired: 0 })
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 60, held: 0 })
})

test.each([
  { first: "commit", second: "release", status: "committed" },
  { first: "release", second: "commit", status: "released" }
])("a $second waits for the $first of its hold (CR007)", async ({ first, second, status }) => {
  const { reservationId } = await held()
  const [a, b] = [await session(db), await session(db)]
  await a.query("begin")
  await a.call(`credits.${first}`, { reservationId, now })
  const late = b.call(`credits.${second}`, { reservationId, now })
  await b.waitsFor(a)
  await a.query("commit")
  expect(await late).toEqual(reservationClosed(reservationId, status))
})

test("two commits of one hold charge once", async () => {
  const { reservationId, userId } = await held()
  const [a, b] = [await session(db), await session(db)]
  await a.query("begin")
  const first = await a.call("credits.commit", { reservationId, now })
  const second = b.call("credits.commit", { reservationId, now })
  await b.waitsFor(a)
  await a.query("commit")
  expect(await second).toEqual({ ...Object(first), replayed: true })
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 60, version: 2 })
})

test("batches take their balances in order, whatever order they name them in", async () => {
  const userIds = [await db.userWith(100), await db.userWith(100)].toSorted()
  const items = userIds.map((userId) => ({ userId, ...debit, amount: 10 }))
  const [first] = userIds
  const [holder, a, b] = [await session(db), await session(db), await session(db)]
  await holder.query("begin")
  await holder.call("credits.use", { userId: first, ...debit, amount: 1 })
  const forwards = a.call("credits.use_many", { items })
  const backwards = b.call("credits.use_many", { items: items.toReversed() })
  await a.waitsFor(holder)
  // Behind the holder or behind the other batch, but not yet on the second balance: nobody holds that one.
  await db.query("select from credits.balances where user_id = $1 for update nowait", [userIds[1]])
  await holder.query("commit")
  expect(await Promise.all([forwards, backwards])).toMatchObject([
    { results: [{ ok: true }, { ok: true }] },
    { results: [{ ok: true }, { ok: true }] }
  ])
})

test("a batch has no credits of a user who wasn't there when it took its locks (CR002)", async () => {
  const busy = await db.userWith(100)
  const items = [busy, "arriving"].map((userId) => ({ userId, ...debit }))
  const [holder, batch, other] = [await session(db), await session(db), await session(db)]
  await holder.query("begin")
  await holder.call("credits.use", { userId: busy, ...debit, amount: 1 })
  const answer = batch.call("credits.use_many", { items })
  await batch.waitsFor(holder)
  await db.call("credits.grant", { userId: "arriving", amount: 100, reason: "test", referenceId: "r" })
  await other.query("begin")
  await other.call("credits.use", { userId: "arriving", ...debit })
  await holder.query("commit")
  // It goes through without a lock on the new user, so it may not spend there.
  expect(await answer).toMatchObject({ results: [{ ok: true }, { ok: false, error: notEnough(60, 0) }] })
  await other.query("commit")
})
