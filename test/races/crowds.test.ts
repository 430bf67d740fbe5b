import { expect, test } from "vitest"
import { database } from "../support/database.ts"

/** Many callers at once on few rows. What they leave is checked against the rule, not against an order. */
const db = await database()

/** Over as many connections as the pool has: 50. */
const crowd = <A>(size: number, ask: (index: number) => Promise<A>) =>
  Promise.allSettled(Array.from({ length: size }, (_each, index) => ask(index)))

const outcomes = (settled: ReadonlyArray<PromiseSettledResult<unknown>>) => {
  const counts: Record<string, number> = {}
  for (const each of settled) {
    const outcome = each.status === "fulfilled" ? "won" : String(each.reason.code ?? each.reason)
    counts[outcome] = (counts[outcome] ?? 0) + 1
  }
  return counts
}

const one = { amount: 1, appId: "chat", description: "one of many" }

const rounds = async (count: number, round: (index: number) => Promise<void>) => {
  for (let index = 0; index < count; index++) await round(index)
}

test("200 debits of 1 on a balance of 100: exactly 100 win, 50 times over", { timeout: 120_000 }, async () => {
  await rounds(50, async () => {
    const userId = await db.userWith(100)
    const settled = await crowd(200, () => db.call("credits.use", { userId, ...one }))
    expect(outcomes(settled)).toEqual({ won: 100, CR002: 100 })
    expect(await db.balanceRow(userId)).toMatchObject({ balance: 0, total_spent: 100, version: 101 })
  })
})

test("debits on a user with no row yet, a grant racing in: what is won is what is gone", async () => {
  await rounds(50, async (index) => {
    const userId = `newcomer-${index}`
    const grant = { userId, amount: 10, reason: "test", referenceId: "r" }
    const settled = await crowd(20, (call) =>
      call % 5 === 1 ? db.call("credits.grant", grant) : db.call("credits.use", { userId, ...one })
    )
    const { won = 0, CR002 = 0 } = outcomes(settled)
    // 4 of them are grants, of which one gives.
    expect({ won, CR002 }).toEqual({ won, CR002: 20 - won })
    expect(await db.balanceRow(userId)).toMatchObject({ balance: 10 - (won - 4), version: 1 + won - 4 })
  })
})

test("batches on users with no row yet, grants racing in: every batch is answered", async () => {
  await rounds(20, async (index) => {
    const userIds = ["a", "b", "c"].map((name) => `newcomer-${name}-${index}`)
    const items = userIds.map((userId) => ({ userId, ...one }))
    const settled = await crowd(20, (call) =>
      call < 3
        ? db.call("credits.grant", { userId: userIds[call], amount: 5, reason: "test", referenceId: "r" })
        : db.call("credits.use_many", { items: call % 2 === 0 ? items : items.toReversed() })
    )
    expect(outcomes(settled)).toEqual({ won: 20 })
    for (const userId of userIds) {
      const { balance, version } = await db.balanceRow(userId)
      expect(balance).toBe(6 - version)
    }
  })
})

test("50 duplicates of one key at once: one effect, 50 equal answers", async () => {
  const userId = await db.userWith(100)
  const calls = [
    { name: "credits.use", args: { userId, ...one, idempotencyKey: "use" } },
    { name: "credits.refund", args: { userId, amount: 1, description: "Sorry", idempotencyKey: "refund" } },
    { name: "credits.reserve", args: { userId, amount: 1, reason: "a call", idempotencyKey: "reserve" } }
  ]
  for (const { name, args } of calls) {
    const before = await db.balanceRow(userId)
    const answers = await Promise.all(Array.from({ length: 50 }, () => db.call(name, args)))
    expect(answers.filter((answer) => answer.replayed !== true)).toHaveLength(1)
    const [first] = answers.map(({ replayed: _replayed, ...answer }) => answer)
    for (const { replayed: _replayed, ...answer } of answers) expect(answer).toEqual(first)
    const after = await db.balanceRow(userId)
    expect(after.version - before.version + (after.held - before.held)).toBe(1)
  }
})

test("50 grants of one reference at once, to a user with no row yet: one gives", async () => {
  const grant = { userId: "granted at once", amount: 10, reason: "test", referenceId: "r" }
  const answers = await Promise.all(Array.from({ length: 50 }, () => db.call("credits.grant", grant)))
  expect(answers.filter((answer) => !answer.alreadyGranted)).toHaveLength(1)
  expect(new Set(answers.map((answer) => answer.transactionId)).size).toBe(1)
  expect(await db.balanceRow("granted at once")).toMatchObject({ balance: 10, version: 1 })
})

test("20 grants of different references at once, to a user with no row yet: all give, 20 times over", async () => {
  await rounds(20, async (index) => {
    const userId = `given much at once ${index}`
    const settled = await crowd(20, (call) =>
      db.call("credits.grant", { userId, amount: 1, reason: "test", referenceId: `r${call}` })
    )
    expect(outcomes(settled)).toEqual({ won: 20 })
    expect(await db.balanceRow(userId)).toMatchObject({ balance: 20, version: 20 })
  })
})

test("partial refunds of one charge at once: no more than it took", async () => {
  const userId = await db.userWith(100)
  const { transaction } = await db.call("credits.use", { userId, ...one, amount: 60 })
  const refund = { userId, amount: 7, description: "Sorry", transactionId: transaction.id }
  expect(outcomes(await crowd(50, () => db.call("credits.refund", refund)))).toEqual({ won: 8, CR005: 42 })
})

test("commit, release and expiry race for one hold: one end, 50 times over", async () => {
  const now = new Date("2026-03-01T12:00:00Z")
  const expired = new Date("2026-03-01T12:01:00Z")
  await rounds(50, async () => {
    const userId = await db.userWith(100)
    const hold = { userId, amount: 40, reason: "a call", expiresInSeconds: 60, now }
    const { reservationId } = await db.call("credits.reserve", hold)
    const settled = await crowd(
      9,
      (call) =>
        [
          () => db.call("credits.commit", { reservationId, now }),
          () => db.call("credits.release", { reservationId, now }),
          () => db.call("credits.expire_reservations", { now: expired })
        ][call % 3]?.() ?? Promise.reject(new Error("three kinds of call"))
    )
    for (const each of settled) {
      expect(each.status === "fulfilled" || each.reason.code === "CR007", JSON.stringify(each)).toBe(true)
    }
    // A sweep passes by a balance in use: what is open still is what nobody else could have closed.
    await db.call("credits.expire_reservations", { now: expired })
    const [{ status }] = await db.query("select status from credits.reservations where id = $1", [reservationId])
    const charged = status === "committed" ? 40 : 0
    expect(["committed", "released", "expired"]).toContain(status)
    expect(await db.balanceRow(userId)).toMatchObject({ balance: 100 - charged, held: 0 })
  })
})
