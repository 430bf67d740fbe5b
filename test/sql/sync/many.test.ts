/**
 * A night with many due and several workers, and a night in which their connections are ended at random.
 * MANA_SOAK=1 (npm run test:soak) takes more of everything.
 */
import pg from "pg"
import { expect, onTestFinished, test } from "vitest"
import { database, statement } from "../../support/database.ts"
import { subscribers } from "./subscribers.ts"

const db = await database()
const isSoak = process.env["MANA_SOAK"] === "1"
const count = isSoak ? 100_000 : 10_000
const timeout = isSoak ? 1_200_000 : 120_000
const dueAt = new Date("2027-01-31T10:00:00.000Z")
const now = new Date("2027-01-31T11:00:00.000Z")

/** One worker on a connection of its own: runs until nothing is left, from a new connection where it lost the old one. */
const worker = async (limit: number) => {
  let charged = 0
  let lost = 0
  for (;;) {
    const client = new pg.Client({ connectionString: db.urlAs("mana_service"), application_name: "charger" })
    client.on("error", () => undefined)
    try {
      await client.connect()
      for (;;) {
        const { rows } = await client.query(statement("sync.charge_due", { now, limit }))
        charged += rows[0].answer.charged
        if (rows[0].answer.total === 0) {
          await client.end()
          return { charged, lost }
        }
      }
    } catch (error) {
      // 57P01: the connection was ended from outside; or the socket fell before that could be said.
      if (error instanceof pg.DatabaseError && error.code !== "57P01") throw error
      lost += 1
      await client.end().catch(() => undefined)
    }
  }
}

/** Ends a charging connection at a random moment, again and again, until the signal; answers how many it ended. */
const killer = async (signal: AbortSignal) => {
  let kills = 0
  while (!signal.aborted) {
    await new Promise((resolve) => setTimeout(resolve, 30 + Math.random() * 70))
    const [row] = await db.query(
      `select count(pg_terminate_backend(pid)) as kills from (
         select pid from pg_stat_activity
         where datname = current_database() and application_name = 'charger' and state = 'active'
         order by random() limit 1
       ) victim`
    )
    kills += row.kills
  }
  return kills
}

const chargedOnce = async (prefix: string) => {
  const [row] = await db.query(
    `select
       count(*) as users,
       count(*) filter (where b.balance = 30 and b.version = 2) as charged_once,
       count(*) filter (where s.next_charge_at = '2027-02-28T10:00:00Z') as next_month,
       (select count(*) from credits.sync_charges c where c.user_id like $1) as charges,
       (select count(*) from credits.transactions t where t.user_id like $1 and t.type = 'usage') as ledger,
       (select count(*) from credits.events e where e.user_id like $1 and e.type = 'sync.charged') as events
     from credits.balances b join credits.sync_subscriptions s using (user_id) where b.user_id like $1`,
    [`${prefix}%`]
  )
  return row
}
const all = { users: count, charged_once: count, next_month: count, charges: count, ledger: count, events: count }

test(`four workers, ${count} due: each charged once, none left behind`, { timeout }, async () => {
  await subscribers(db, { count, credits: 60, dueAt, prefix: "calm-" })
  const workers = await Promise.all([1, 2, 3, 4].map(() => worker(500)))
  expect(workers.reduce((sum, each) => sum + each.charged, 0)).toBe(count)
  expect(await chargedOnce("calm-")).toEqual(all)
})

test("and with their connections ended at random", { timeout }, async () => {
  await subscribers(db, { count, credits: 60, dueAt, prefix: "storm-" })
  const over = new AbortController()
  onTestFinished(() => over.abort())
  const storm = killer(over.signal)
  const workers = await Promise.all([1, 2, 3, 4].map(() => worker(100)))
  over.abort()
  expect(await storm).toBeGreaterThan(0)
  expect(workers.reduce((sum, each) => sum + each.lost, 0)).toBeGreaterThan(0)
  expect(await chargedOnce("storm-")).toEqual(all)
})
