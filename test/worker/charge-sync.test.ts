/** The charge run as production has it: a worker process, the cron table, no HTTP. */
import { expect, test } from "vitest"
import { cron } from "../../src/worker/cron.ts"
import { subscribers } from "../sql/sync/subscribers.ts"
import { database } from "../support/database.ts"
import { severalStarts, start } from "../support/program.ts"
import { session } from "../support/session.ts"
import { eventually } from "../support/wait.ts"

const db = await database()

const worker = () =>
  start(["worker"], {
    DATABASE_URL: db.urlAs("mana_worker"),
    MANA_AUTH_URL: "http://127.0.0.1:1",
    MANA_SERVICE_KEY: "key"
  })

/** Within the patience of a test that starts processes on a busy machine. */
const within = 60_000

/** The queue's clock moved through the database: the cron table was last asked so many hours ago. */
const lastAsked = (hours: number) =>
  db.query(
    `insert into graphile_worker._private_known_crontabs (identifier, known_since, last_execution)
     select i, now() - interval '30 days', date_trunc('minute', now() - make_interval(hours => $2))
     from unnest($1::text[]) i
     on conflict (identifier) do update set last_execution = excluded.last_execution`,
    [cron.map(({ identifier }) => identifier), hours]
  )

const counts = async (prefix: string) => {
  const [row] = await db.query(
    `select
       (select count(*) from credits.sync_charges c where c.user_id like $1) as charges,
       (select count(*) from credits.sync_subscriptions s where s.next_charge_at <= now() and s.user_id like $1) as due,
       (select count(*) from credits.balances b where b.version > 2 and b.user_id like $1) as charged_twice`,
    [`${prefix}%`]
  )
  return row
}

test(
  "a worker that was away for hours charges at its start what fell due meanwhile",
  { timeout: severalStarts },
  async () => {
    await subscribers(db, { count: 5, credits: 60, dueAt: new Date(Date.now() - 2 * 3_600_000), prefix: "few-" })
    await lastAsked(5)
    const { signal, ended, stderr } = worker()
    await eventually(
      () => counts("few-"),
      ({ due }) => due === 0,
      within
    )
    expect(await counts("few-")).toEqual({ charges: 5, due: 0, charged_twice: 0 })
    signal("SIGTERM")
    expect(await ended).toBe(0)
    expect(stderr()).toBe("")
  }
)

test("stopped in the middle of a run, the next worker charges the rest", { timeout: severalStarts }, async () => {
  const count = 6000
  await subscribers(db, { count, credits: 60, dueAt: new Date(Date.now() - 3_600_000), prefix: "many-" })
  await db.query("select graphile_worker.add_job('charge_sync', max_attempts => 5)")
  // The first round of 1000 goes through; the second waits for a lock that we hold.
  const holder = await session(db)
  await holder.query("select pg_advisory_lock(42)")
  await db.query(`create function public.held_up() returns trigger language plpgsql as $$
    begin
      if (select count(*) from credits.sync_charges c where c.user_id like 'many-%') > 1000 then
        perform pg_advisory_xact_lock(42);
      end if;
      return null;
    end $$`)
  await db.query(
    "create trigger held_up after insert on credits.sync_charges for each statement execute function public.held_up()"
  )
  const heldUp = (what: "l.pid" | "pg_terminate_backend(l.pid)") =>
    db.query(
      `select ${what} from pg_locks l join pg_database d on d.oid = l.database
       where d.datname = current_database() and l.locktype = 'advisory' and l.objid = 42 and not l.granted`
    )
  const stopped = worker()
  await eventually(
    () => heldUp("l.pid"),
    ({ length }) => length > 0,
    within
  )
  stopped.signal("SIGTERM")
  expect(await stopped.ended).toBe(0)
  // The server may not have noticed yet that nobody waits for the answer.
  await eventually(
    () => heldUp("pg_terminate_backend(l.pid)"),
    ({ length }) => length === 0,
    within
  )
  expect(await counts("many-")).toEqual({ charges: 1000, due: count - 1000, charged_twice: 0 })

  await db.query("drop function public.held_up() cascade")
  const next = worker()
  await eventually(
    () => counts("many-"),
    (now) => now.due === 0,
    within
  )
  expect(await counts("many-")).toEqual({ charges: count, due: 0, charged_twice: 0 })
  next.signal("SIGTERM")
  expect(await next.ended).toBe(0)
})
