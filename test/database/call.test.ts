import { Effect, Schema } from "effect"
import type { SqlClient } from "effect/sql"
import { beforeAll, expect, test } from "vitest"
import { call, callRows, callUndecoded } from "../../src/database/call.ts"
import { database } from "../support/database.ts"
import { servicePool } from "../support/pool.ts"
import { holding } from "../support/session.ts"
import { eventually } from "../support/wait.ts"

const db = await database()
const application = "call"
const context = await servicePool(db, { applicationName: application })
const small = await servicePool(db, { applicationName: "small", maxConnections: 1, connectTimeout: 100 })

const locked = (userId: string) => `select from credits.balances where user_id = '${userId}' for update`

const exitOf = <A, E>(asking: Effect.Effect<A, E, SqlClient.SqlClient>) =>
  Effect.runPromiseExit(Effect.provide(asking, context))
const answerOf = <A, E>(asking: Effect.Effect<A, E, SqlClient.SqlClient>) =>
  Effect.runPromise(Effect.provide(asking, context))

/** How often a function of this test's was tried. A sequence forgets nothing in a rollback. */
const tries = async () => {
  const [row] = await db.query("select nextval('trial.tries') - 1 as tries")
  await db.query("alter sequence trial.tries restart")
  return row.tries
}

beforeAll(async () => {
  await db.query(`
    create schema trial;
    grant usage on schema trial to mana_service;
    create sequence trial.tries;
    create function trial.lock_both(p_first text, p_second text) returns jsonb language plpgsql security definer as $$
    begin
      perform nextval('trial.tries');
      perform from credits.balances where user_id = p_first for update;
      perform from credits.balances where user_id = p_second for update;
      return '{"locked": true}';
    end $$;
    create function trial.always_conflicts() returns jsonb language plpgsql security definer as $$
    begin
      perform nextval('trial.tries');
      raise 'another was first' using errcode = 'serialization_failure';
    end $$;
    create function trial.echo(
      p_small smallint, p_number numeric, p_big bigint, p_flag boolean, p_time timestamptz, p_text text, p_document jsonb,
      p_list jsonb, p_bytes bytea, p_nothing text, p_left_out text default 'default'
    ) returns jsonb language sql as $$
      select jsonb_build_array(p_small, p_number, p_big, p_flag, p_time at time zone 'UTC', p_text, p_document, p_list,
        encode(p_bytes, 'hex'), p_nothing, p_left_out)
    $$;
    create function trial.columns() returns table (
      big bigint, whole integer, flag boolean, at timestamptz, text text, numbers numeric, document jsonb, list text[],
      nothing text
    ) language sql as $$
      select 9007199254740993, 7, true, timestamptz '2026-01-02 03:04:05.678Z', 'ä', 1.50, '{"a": [1]}'::jsonb,
        '{x,y}'::text[], null
    $$`)
})

test("arguments arrive as the types that the function declares", async () => {
  const args = {
    ...{ small: 7, number: 1.5, big: 9_007_199_254_740_991, flag: true, time: new Date("2026-01-02T03:04:05.678Z") },
    ...{
      text: 'ä {"',
      document: { a: [1, null] },
      list: [1, "two"],
      bytes: "\\x00ff",
      nothing: null,
      leftOut: undefined
    }
  }
  expect(await answerOf(callUndecoded("trial.echo", args))).toEqual([
    ...[7, 1.5, 9_007_199_254_740_991, true, "2026-01-02T03:04:05.678"],
    ...['ä {"', { a: [1, null] }, [1, "two"], "00ff", null, "default"]
  ])
})

test("columns come as JavaScript has them; what it has no number for is text", async () => {
  expect(await answerOf(callRows("trial.columns", Schema.Any, {}))).toEqual([
    {
      ...{ big: "9007199254740993", whole: 7, flag: true, at: new Date("2026-01-02T03:04:05.678Z"), text: "ä" },
      ...{ numbers: "1.50", document: { a: [1] }, list: ["x", "y"], nothing: null }
    }
  ])
})

test("an answer that isn't what was expected is a bug, and named", async () => {
  const exit = await exitOf(call("trial.lock_both", Schema.Number, { first: "a", second: "b" }))
  expect(String(exit)).toContain("trial.lock_both answered what we don't expect")
})

test("a call that gets no connection in time is told so, one that can't be interrupted too", async () => {
  const userId = await db.userWith(2)
  const holder = await holding(db, locked(userId))
  const debit = { userId, amount: 1, appId: "chat", description: "one", caller: "service:test" }
  const use = callUndecoded("credits.use", debit).pipe(Effect.provide(small), Effect.result)
  const first = Effect.runPromise(use)
  await eventually(
    () => db.query("select from pg_stat_activity where application_name = 'small' and wait_event_type = 'Lock'"),
    ({ length }) => length === 1
  )
  for (const waiting of [use, Effect.uninterruptible(use)]) {
    expect(await Effect.runPromise(waiting)).toMatchObject({ _tag: "Failure", failure: { _tag: "Unavailable" } })
  }
  await holder.release()
  expect(await first).toMatchObject({ _tag: "Success" })
  expect(await Effect.runPromise(use)).toMatchObject({ _tag: "Success" })
})

test("a deadlock is tried again, though PostgreSQL finds it only after its second", async () => {
  await tries()
  const [first, second] = [await db.userWith(1), await db.userWith(1)]
  const holder = await holding(db, "set local deadlock_timeout = '1min'")
  await holder.query(locked(second))
  const answer = answerOf(callUndecoded("trial.lock_both", { first, second }))
  await eventually(
    () =>
      db.query("select from pg_stat_activity where application_name = $1 and wait_event_type = 'Lock'", [application]),
    ({ length }) => length === 1
  )
  // Each waits for the other now, until the call gives way.
  await holder.query(locked(first))
  await holder.release()
  expect(await answer).toEqual({ locked: true })
  expect(await tries()).toBe(2)
})

test("a conflict that stays is given up after five tries", async () => {
  await tries()
  expect(String(await exitOf(callUndecoded("trial.always_conflicts", {})))).toContain("Unavailable")
  expect(await tries()).toBe(5)
})
