/** Two years on a clock of our own: every anchor of a month, every interval, and a run that comes when it comes. */
import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { monthsAfter } from "./subscribers.ts"

const db = await database()

const intervals = { monthly: 1, quarterly: 3, yearly: 12 }
const day = 86_400_000

test.each([
  // 2028 is a leap year: 24 months from January 2027 see both Februaries.
  ["every day of a month with 31", 2027, 0, 31],
  ["every day of a leap February", 2028, 1, 29]
])("24 months from %s, charged to the day", async (_what, year, month, days) => {
  // A session's time zone must not matter: fourteen hours ahead, and changing its own clock in summer elsewhere.
  const [{ name }] = await db.query("select current_database() as name")
  await db.query(`alter database ${name} set timezone = 'Pacific/Kiritimati'`)
  const anchors = Array.from(
    { length: days },
    (_, index) => new Date(Date.UTC(year, month, index + 1, 10, 30, 15, 250))
  )
  const users = anchors.flatMap((anchor) =>
    Object.entries(intervals).map(([interval, months]) => ({
      userId: `${year}-${anchor.toISOString().slice(0, 10)}-${interval}`,
      anchor,
      interval,
      months
    }))
  )
  for (const { userId, interval, anchor } of users) {
    await db.call("credits.grant", { userId, amount: 2000, reason: "test", referenceId: "first", now: anchor })
    await db.call("sync.activate", { userId, interval, now: anchor })
  }

  // The run comes daily, sometimes an hour earlier than before, sometimes 45 days later.
  const jumps = [day, day, -3_600_000, day, 5 * day, day, 45 * day, -3_600_000, 7 * day]
  const last = monthsAfter(new Date(Date.UTC(year, month, days, 23)), 24)
  const runs: Array<Date> = []
  for (
    let clock = new Date(Date.UTC(year, month, days, 23));
    clock < last;
    clock = new Date(clock.getTime() + (jumps[runs.length % jumps.length] ?? day))
  ) {
    runs.push(clock)
    await db.call("sync.charge_due", { now: clock })
  }
  runs.push(last)
  await db.call("sync.charge_due", { now: last })

  const rows = await db.query(
    `select c.user_id,
       array_agg(c.period_start order by c.period_start) as starts,
       array_agg(c.period_end order by c.period_start) as ends,
       array_agg(c.created_at order by c.period_start) as charged
     from credits.sync_charges c where c.user_id like $1 group by c.user_id`,
    [`${year}-%`]
  )
  const charges = new Map(rows.map((row) => [row.user_id, row]))
  for (const { userId, anchor, months } of users) {
    const dates = Array.from({ length: 26 }, (_, n) => monthsAfter(anchor, n * months)).filter((date) => date <= last)
    const { starts, ends, charged } = charges.get(userId)
    expect(starts, userId).toEqual(dates)
    expect(ends, userId).toEqual(dates.map((_, n) => monthsAfter(anchor, (n + 1) * months)))
    // Charged by the first run at or after the date; the first period by the activation itself.
    expect(charged.slice(1), userId).toEqual(
      dates.slice(1).map((date) => runs.find((run) => run.getTime() >= date.getTime()))
    )
  }
})
