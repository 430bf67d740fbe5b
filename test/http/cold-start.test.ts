/**
 * PostgreSQL makes a session's plans once, and reads a table whole where it was small then. Under load it is large a
 * minute later, and until somebody analyses it every debit reads all of it.
 */
import { expect, test } from "vitest"
import { database, type TestDatabase } from "../support/database.ts"
import { session } from "../support/session.ts"
import { eventually } from "../support/wait.ts"
import { authService, serviceKey, startService } from "./support.ts"

const growing = ["balances", "transactions", "idempotency_keys", "usage_stats", "reservations"]

/** Which of the tables that grow were read whole since they were counted last. */
const readWhole = async (db: TestDatabase) => {
  const rows = await db.query(
    "select relname from pg_stat_user_tables where schemaname = 'credits' and relname = any ($1) and seq_scan > 0",
    [growing]
  )
  return rows.map(({ relname }) => relname)
}

/** An installation that was looked after before anybody came: PostgreSQL knows that its tables are empty. */
const emptyAndAnalysed = async (db: TestDatabase) => {
  await db.query("vacuum analyze")
  await db.query("select pg_stat_force_next_flush()")
  await db.query("select pg_stat_reset()")
}

/** A session's counts are seen a moment after it ended, or said them. */
const counted = (db: TestDatabase, debits: number) =>
  eventually(
    async () => {
      const [row] = await db.query(
        "select n_tup_ins >= $1 as all from pg_stat_user_tables where schemaname = 'credits' and relname = 'transactions'",
        [debits]
      )
      return row?.["all"]
    },
    (isAll) => isAll === true
  )

// More often than the five times after which PostgreSQL keeps a plan.
const times = Array.from({ length: 8 }, (_, n) => n)

const debit = (userId: string, n: number) => ({
  userId,
  amount: 1,
  appId: "chat",
  description: "One answer",
  idempotencyKey: `${userId} ${n}`
})

test("debits of a session that began with empty tables look rows up", async () => {
  const db = await database()
  const users = await Promise.all(times.map(() => db.userWith(100)))
  await emptyAndAnalysed(db)
  const { call, query } = await session(db)
  for (const n of times) {
    for (const userId of users) await call("credits.use", { ...debit(userId, n), caller: "test" })
    await call("credits.use_many", { items: users.map((userId) => debit(userId, 100 + n)), caller: "test" })
  }
  await query("select pg_stat_force_next_flush()")
  await counted(db, 2 * times.length * users.length)
  expect(await readWhole(db)).toEqual([])
})

test("what the service asks for in a session that began with empty tables looks rows up", async () => {
  const db = await database()
  const service = await startService(db, await authService(), { settings: { databaseMaxConnections: 1 } })
  const post = async (path: string, body: object) => {
    const { status, json } = await service.request("POST", `/api/v1/internal/credits/${path}`, {
      headers: { "x-service-key": serviceKey },
      body
    })
    expect(status).toBe(200)
    return json
  }
  const userId = await db.userWith(100)
  await emptyAndAnalysed(db)
  for (const n of times) {
    const { transaction } = await post("use", debit(userId, n))
    await post("refund", { userId, amount: 1, description: "Back", transactionId: transaction.id })
    const { reservationId } = await post("reserve", { userId, amount: 1, reason: "An answer", idempotencyKey: `r${n}` })
    await post("commit", { reservationId })
    await service.request("GET", `/api/v1/internal/credits/balance/${userId}`, {
      headers: { "x-service-key": serviceKey }
    })
  }
  await service.stop()
  await counted(db, 3 * times.length)
  expect(await readWhole(db)).toEqual([])
})
