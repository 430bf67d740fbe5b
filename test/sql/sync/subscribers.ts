/** Users with Cloud Sync, made many at a time: the functions that make one are tested where they stand. */
import type { TestDatabase } from "../../support/database.ts"

export interface Subscribers {
  readonly count: number
  readonly credits: number
  readonly dueAt: Date
  /** Users are named `<prefix>1` to `<prefix><count>`. */
  readonly prefix?: string
}

/** Subscriptions whose first charge falls due at that time, nothing paid yet. */
export const subscribers = async (db: TestDatabase, { count, credits, dueAt, prefix = "user-" }: Subscribers) => {
  await db.query("insert into credits.balances (user_id) select $1 || i from generate_series(1, $2) i", [prefix, count])
  await db.query(
    `select cardinality(credits.post_many(array_agg(
       row($1 || i, row('grant', $3::bigint, 'promotions', null, 'test', null, null, null, 'test', null))::credits.user_posting
     ), now()))
     from generate_series(1, $2) i`,
    [prefix, count, credits]
  )
  await db.query(
    `insert into credits.sync_subscriptions
       (user_id, status, interval, anchor, months_paid, next_charge_at, created_at, updated_at)
     select $1 || i, 'active', 'monthly', $3, 0, $3, $3, $3 from generate_series(1, $2) i`,
    [prefix, count, dueAt]
  )
}

/** The n-th month's date from an anchor, reckoned without the database: the last day where there is no such day. */
export const monthsAfter = (anchor: Date, months: number) => {
  const date = new Date(anchor)
  date.setUTCDate(1)
  date.setUTCMonth(anchor.getUTCMonth() + months)
  const daysInMonth = new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0)).getUTCDate()
  date.setUTCDate(Math.min(anchor.getUTCDate(), daysInMonth))
  return date
}

/** A user's charges, oldest first. */
export const chargesOf = (db: TestDatabase, userId: string) =>
  db.query("select * from credits.sync_charges where user_id = $1 order by period_start", [userId])

/** The types of a user's events, oldest first. */
export const eventsOf = async (db: TestDatabase, userId: string): Promise<ReadonlyArray<string>> => {
  const rows = await db.query("select type from credits.events where user_id = $1 order by id", [userId])
  return rows.map((row) => row.type)
}
