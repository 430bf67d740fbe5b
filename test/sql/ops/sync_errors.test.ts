import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { subscribers } from "../sync/subscribers.ts"

const db = await database()
const now = new Date("2027-01-31T10:00:00.000Z")
const hoursLater = (hours: number) => new Date(now.getTime() + hours * 3_600_000)

test("says who can't be charged and why, until they can; tried again after 1, 2, 4, 8, 16 hours, then daily", async () => {
  await db.query(`create function public.poison() returns trigger language plpgsql as $$ begin
    raise exception 'no charge today'; end $$`)
  await db.query(
    "create trigger poison before insert on credits.sync_charges for each row execute function public.poison()"
  )
  await subscribers(db, { count: 1, credits: 30, dueAt: now })
  const errors = () => db.rows("ops.sync_errors", {}, "mana_readonly")
  const waits = []
  let clock = 0
  for (let attempt = 1; attempt <= 8; attempt += 1) {
    await db.call("sync.charge_due", { now: hoursLater(clock) })
    const [error] = await errors()
    expect(error).toEqual({
      user_id: "user-1",
      period_start: now,
      sqlstate: "P0001",
      message: "no charge today",
      attempts: attempt,
      first_failed_at: now,
      last_failed_at: hoursLater(clock),
      next_attempt_at: expect.any(Date)
    })
    const next = (error.next_attempt_at.getTime() - now.getTime()) / 3_600_000
    waits.push(next - clock)
    clock = next
  }
  expect(waits).toEqual([1, 2, 4, 8, 16, 24, 24, 24])
  await db.query("drop function public.poison() cascade")
  expect(await db.call("sync.charge_due", { now: hoursLater(clock) })).toMatchObject({ charged: 1 })
  expect(await errors()).toEqual([])
})

test("forgets who isn't to be charged any more", async () => {
  await db.query(`create function public.poison() returns trigger language plpgsql as $$ begin
    raise exception 'no charge today'; end $$`)
  await subscribers(db, { count: 1, credits: 30, dueAt: now, prefix: "leaving-" })
  await db.query(
    "create trigger poison before insert on credits.sync_charges for each row execute function public.poison()"
  )
  expect(await db.call("sync.charge_due", { now })).toMatchObject({ errors: 1 })
  await db.query("drop function public.poison() cascade")
  await db.call("sync.deactivate", { userId: "leaving-1", now })
  expect(await db.rows("ops.sync_errors", {}, "mana_readonly")).toEqual([])
})

test("the longest failing first, then by user, whatever place the row has", async () => {
  await db.query(
    `insert into credits.sync_charge_errors
     select user_id, $1, 'P0001', 'no charge today', 1, $1::timestamptz + days * interval '1 day', $1, $1
     from (values ('cid', 1), ('ann', 2), ('bob', 1), ('dan', 0)) failing (user_id, days)`,
    [now]
  )
  const rows: ReadonlyArray<{ readonly user_id: string }> = await db.rows("ops.sync_errors", {}, "mana_readonly")
  expect(rows.map(({ user_id }) => user_id)).toEqual(["dan", "bob", "cid", "ann"])
})
