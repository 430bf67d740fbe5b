import { describe, expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { invalid } from "../../support/refusals.ts"
import { holding, session, unindexed, warningsOf } from "../../support/session.ts"
import { eventually } from "../../support/wait.ts"
import { chargesOf, eventsOf, subscribers } from "./subscribers.ts"

const db = await database()
const now = new Date("2027-01-31T10:00:00.000Z")
const later = (days: number) => new Date(now.getTime() + days * 86_400_000)
const nothing = { charged: 0, paused: 0, errors: 0, total: 0 }

/** A user subscribed since `now`, whose credits suffice for so many months. */
const subscribed = async (months: number, settings: object = {}) => {
  const userId = await db.userWith(30 * months)
  await db.call("sync.activate", { userId, now, ...settings })
  return userId
}

/** How often it was said that the user's renewal is at risk. */
const atRisk = async (userId: string) =>
  (await eventsOf(db, userId)).filter((type) => type === "sync.renewal_at_risk").length

/** Each test is alone with its subscriptions: those of the tests before it are over. */
const alone = async () => {
  await db.query("update credits.sync_subscriptions set status = 'inactive', next_charge_at = null, paused_at = null")
  await db.query("delete from credits.sync_charge_errors")
}

/** Whose charges the ledger refuses. */
const poison = async (pattern: string) => {
  await db.query(`create function public.poison() returns trigger language plpgsql as $$ begin
      if new.user_id ~ '${pattern}' then raise exception 'the ledger refuses %', new.user_id; end if; return new; end $$`)
  await db.query(
    "create trigger poison before insert on credits.transactions for each row when (new.app_id = 'sync') execute function public.poison()"
  )
}
const heal = () => db.query("drop function public.poison() cascade")

describe("one charge", () => {
  test("writes the ledger row, the charge, the next date and the event", async () => {
    await alone()
    const userId = await subscribed(2)
    expect(await db.call("sync.charge_due", { now: later(28) })).toEqual({ ...nothing, charged: 1, total: 1 })
    const [row] = await db.query("select * from credits.transactions where user_id = $1 and seq = 3", [userId])
    expect(row).toMatchObject({
      type: "usage",
      amount: -30,
      balance_after: 0,
      app_id: "sync",
      counter_account: "revenue:sync",
      created_at: later(28)
    })
    const [, charge] = await chargesOf(db, userId)
    expect(charge).toMatchObject({
      period_start: new Date("2027-02-28T10:00:00.000Z"),
      period_end: new Date("2027-03-31T10:00:00.000Z"),
      credits: 30,
      transaction_id: row.id
    })
    expect(await db.call("sync.status", { userId })).toMatchObject({
      active: true,
      nextChargeAt: "2027-03-31T10:00:00.000Z",
      paidUntil: "2027-03-31T10:00:00.000Z"
    })
    const [event] = await db.query(
      "select type, data from credits.events where user_id = $1 order by id desc limit 1",
      [userId]
    )
    expect(event).toEqual({
      type: "sync.charged",
      data: {
        interval: "monthly",
        credits: 30,
        periodStart: "2027-02-28T10:00:00.000Z",
        periodEnd: "2027-03-31T10:00:00.000Z",
        transactionId: row.id
      }
    })
  })

  test("is each one's own, when several are charged at once", async () => {
    await alone()
    await subscribers(db, { count: 3, credits: 60, dueAt: later(1), prefix: "own-" })
    // Not by sync.charge_due, which would try them one by one if it failed for all.
    const batch = "select * from sync.charge_batch(array['own-1', 'own-2', 'own-3'], 'test', $1)"
    expect(await db.query(batch, [later(1)])).toEqual([{ o_charged: 3, o_paused: 0 }])
    const rows = await db.query(
      `select t.user_id, c.user_id as charged, e.user_id as told
       from credits.transactions t
       left join credits.sync_charges c on c.transaction_id = t.id
       left join credits.events e on e.data ->> 'transactionId' = t.id::text
       where t.user_id like 'own-%' and t.app_id = 'sync' order by 1`
    )
    expect(rows).toEqual(["own-1", "own-2", "own-3"].map((id) => ({ user_id: id, charged: id, told: id })))
  })

  test("comes at the instant it is due and not a millisecond before, and once", async () => {
    await alone()
    await subscribed(5)
    expect(await db.call("sync.charge_due", { now: "2027-02-28T09:59:59.999Z" })).toEqual(nothing)
    expect(await db.call("sync.charge_due", { now: "2027-02-28T10:00:00.000Z" })).toMatchObject({ charged: 1 })
    expect(await db.call("sync.charge_due", { now: "2027-02-28T10:00:00.000Z" })).toEqual(nothing)
    expect(await db.call("sync.charge_due", { now: "2027-02-28T09:00:00.000Z" })).toEqual(nothing)
  })

  test("a period in sync_charges is not charged again, whatever the subscription says", async () => {
    await alone()
    const userId = await subscribed(5)
    await db.call("sync.charge_due", { now: later(28) })
    const before = await db.balanceRow(userId)
    // A mistake by hand: the date is set back.
    const set = (months: number, at: Date) =>
      db.query("update credits.sync_subscriptions set months_paid = $2, next_charge_at = $3 where user_id = $1", [
        userId,
        months,
        at
      ])
    await set(1, new Date("2027-02-28T10:00:00.000Z"))
    expect(await db.call("sync.charge_due", { now: later(29) })).toEqual({ ...nothing, errors: 1, total: 1 })
    expect(await db.balanceRow(userId)).toEqual(before)
    expect(await db.rows("ops.sync_errors", {}, "mana_readonly")).toMatchObject([
      { user_id: userId, sqlstate: "23505" }
    ])
    await set(2, new Date("2027-03-31T10:00:00.000Z"))
    await db.call("sync.charge_due", { now: later(60) })
    expect(await db.rows("ops.sync_errors", {}, "mana_readonly")).toEqual([])
  })
})

describe("without enough credits", () => {
  test("pauses at that moment, says so, and charges nothing", async () => {
    await alone()
    const userId = await subscribed(1)
    await db.call("credits.grant", { userId, amount: 29, reason: "test", referenceId: "almost" })
    expect(await db.call("sync.charge_due", { now: later(28) })).toEqual({ ...nothing, paused: 1, total: 1 })
    expect(await db.balanceRow(userId)).toMatchObject({ balance: 29, version: 3 })
    expect(await db.call("sync.status", { userId })).toMatchObject({
      active: false,
      pausedAt: later(28).toISOString(),
      nextChargeAt: null,
      paidUntil: "2027-02-28T10:00:00.000Z"
    })
    const [event] = await db.query(
      "select type, data from credits.events where user_id = $1 order by id desc limit 1",
      [userId]
    )
    expect(event).toEqual({
      type: "sync.paused",
      data: {
        reason: "insufficient_credits",
        interval: "monthly",
        required: 30,
        available: 29,
        dueAt: "2027-02-28T10:00:00.000Z"
      }
    })
    expect(await db.call("sync.charge_due", { now: later(100) })).toEqual(nothing)
  })

  test("what is held can't be spent on sync", async () => {
    await alone()
    const userId = await subscribed(2)
    await db.call("credits.reserve", { userId, amount: 1, reason: "test" })
    expect(await db.call("sync.charge_due", { now: later(28) })).toMatchObject({ charged: 0, paused: 1 })
    const [event] = await db.query("select data from credits.events where user_id = $1 and type = 'sync.paused'", [
      userId
    ])
    expect(event.data).toMatchObject({ required: 30, available: 29 })
  })
})

describe("after an outage", () => {
  test("charges each elapsed period once, oldest first, in one call", async () => {
    await alone()
    const userId = await subscribed(6)
    expect(await db.call("sync.charge_due", { now: later(100) })).toEqual({ ...nothing, charged: 3, total: 3 })
    const charges = await chargesOf(db, userId)
    expect(charges.map((charge) => charge.period_start.toISOString().slice(0, 10))).toEqual([
      "2027-01-31",
      "2027-02-28",
      "2027-03-31",
      "2027-04-30"
    ])
    const ledger = await db.query(
      "select metadata ->> 'periodStart' as start from credits.transactions where user_id = $1 and type = 'usage' order by seq",
      [userId]
    )
    expect(ledger.map((row) => new Date(row.start))).toEqual(charges.map((charge) => charge.period_start))
  })

  test("until the balance says no: paused at that moment", async () => {
    await alone()
    const userId = await subscribed(3)
    expect(await db.call("sync.charge_due", { now: later(100) })).toEqual({
      charged: 2,
      paused: 1,
      errors: 0,
      total: 3
    })
    expect(await db.balanceRow(userId)).toMatchObject({ balance: 0 })
    expect(await db.call("sync.status", { userId })).toMatchObject({
      active: false,
      pausedAt: later(100).toISOString(),
      paidUntil: "2027-04-30T10:00:00.000Z"
    })
  })
})

describe("while anybody is charged", () => {
  test("goes on, as many as pause at the same time", async () => {
    await alone()
    const userId = await subscribed(6)
    const poor = await subscribed(1)
    expect(await db.call("sync.charge_due", { now: later(100) })).toEqual({
      charged: 3,
      paused: 1,
      errors: 0,
      total: 4
    })
    expect(await chargesOf(db, userId)).toHaveLength(4)
    expect(await db.call("sync.status", { userId: poor })).toMatchObject({ active: false })
  })

  test("goes on, as many as are broken", async () => {
    await alone()
    const userId = await subscribed(6)
    const broken = await subscribed(6)
    await poison(broken)
    expect(await db.call("sync.charge_due", { now: later(100) })).toEqual({
      charged: 3,
      paused: 0,
      errors: 1,
      total: 4
    })
    await heal()
    expect(await chargesOf(db, userId)).toHaveLength(4)
    expect(await chargesOf(db, broken)).toHaveLength(1)
  })
})

describe("the limit", () => {
  test.each(["pauses", "is broken", "pays"])("bounds periods, not users, when one %s", async (what) => {
    await alone()
    const other = await subscribed(what === "pauses" ? 1 : 6)
    if (what === "is broken") await poison(other)
    for (const each of [1, 2]) await subscribed(6, { now: new Date(now.getTime() + each) })
    expect(await db.call("sync.charge_due", { now: later(100), limit: 4 })).toMatchObject({ total: 4 })
    if (what === "is broken") await heal()
  })

  test.each(["pauses", "is broken"])("bounds warnings, too: none while somebody is due, when one %s", async (what) => {
    await alone()
    const userId = await subscribed(2)
    const other = await subscribed(what === "pauses" ? 1 : 2)
    if (what === "is broken") await poison(other)
    const poor = await subscribed(1, { now: later(2) })
    expect(await db.call("sync.charge_due", { now: later(28), limit: 2 })).toMatchObject({ charged: 1, total: 2 })
    expect(await atRisk(poor)).toBe(0)
    expect(await db.call("sync.charge_due", { now: later(28), limit: 1 })).toEqual(nothing)
    expect(await atRisk(poor)).toBe(1)
    if (what === "is broken") await heal()
    expect(await chargesOf(db, userId)).toHaveLength(2)
  })

  test("bounds a call; the longest due come first", async () => {
    await alone()
    for (const [prefix, days] of [
      ["third-", 3],
      ["second-", 2],
      ["first-", 1]
    ] as const) {
      await subscribers(db, { count: 4, credits: 30, dueAt: later(days), prefix })
    }
    const charged = async () => {
      const rows = await db.query(
        `select split_part(c.user_id, '-', 1) as who, count(*) from credits.sync_charges c
         where c.user_id ~ '^(first|second|third)-' group by 1 order by 1`
      )
      return Object.fromEntries(rows.map((row) => [row.who, row.count]))
    }
    const charger = await unindexed(db)
    expect(await charger.call("sync.charge_due", { now: later(5), limit: 6 })).toMatchObject({ total: 6 })
    expect(await charged()).toEqual({ first: 4, second: 2 })
    expect(await db.call("sync.charge_due", { now: later(5), limit: 6 })).toMatchObject({ total: 6 })
    expect(await charged()).toEqual({ first: 4, second: 4, third: 4 })
    expect(await db.call("sync.charge_due", { now: later(5), limit: 6 })).toEqual(nothing)
  })

  test.each([0, 10_001, null])("%s is refused (CR001)", async (limit) => {
    expect(await db.refused("sync.charge_due", { limit })).toEqual(invalid("limit"))
  })
})

describe("a broken row", () => {
  test("one in a hundred: the other 99 are charged in the same run, it is recorded and tried again later", async () => {
    await alone()
    await subscribers(db, { count: 1000, credits: 60, dueAt: later(1), prefix: "herd-" })
    await poison("^herd-.*50$")
    expect(await db.call("sync.charge_due", { now: later(1), limit: 2000 })).toEqual({
      charged: 990,
      paused: 0,
      errors: 10,
      total: 1000
    })
    const errors = await db.rows("ops.sync_errors", {}, "mana_ops")
    expect(errors).toHaveLength(10)
    expect(errors[0]).toMatchObject({
      sqlstate: "P0001",
      message: expect.stringMatching(/^the ledger refuses herd-\d*50$/),
      attempts: 1,
      period_start: later(1),
      next_attempt_at: new Date(later(1).getTime() + 3_600_000)
    })
    const due = await db.rows("ops.sync_due", { now: later(1) }, "mana_ops")
    expect(due.map((row) => row.user_id).toSorted()).toEqual(errors.map((row) => row.user_id).toSorted())

    // Not in this hour; then again, and still broken.
    expect(await db.call("sync.charge_due", { now: later(1), limit: 2000 })).toEqual(nothing)
    expect(await db.call("sync.charge_due", { now: later(1.05), limit: 2000 })).toMatchObject({ errors: 10 })
    expect(await db.rows("ops.sync_errors", {}, "mana_ops")).toMatchObject(
      errors.map(({ user_id }) => ({ user_id, attempts: 2 }))
    )

    await heal()
    expect(await db.call("sync.charge_due", { now: later(2), limit: 2000 })).toMatchObject({ charged: 10, errors: 0 })
    expect(await db.rows("ops.sync_errors", {}, "mana_ops")).toEqual([])
  })

  test("is alone in its trouble when it is the only one due, too", async () => {
    await alone()
    await subscribers(db, { count: 1, credits: 60, dueAt: later(1), prefix: "hermit-" })
    await poison("^hermit-")
    expect(await db.call("sync.charge_due", { now: later(1) })).toEqual({ ...nothing, errors: 1, total: 1 })
    const again = (milliseconds: number) => new Date(later(1).getTime() + 3_600_000 + milliseconds)
    expect(await db.call("sync.charge_due", { now: again(-1) })).toEqual(nothing)
    expect(await db.call("sync.charge_due", { now: again(0) })).toEqual({ ...nothing, errors: 1, total: 1 })
    await heal()
  })
})

describe("who is in use", () => {
  test("keeps nobody behind it waiting, however small the limit", async () => {
    await alone()
    await subscribers(db, { count: 1, credits: 60, dueAt: now, prefix: "held-up-" })
    await subscribers(db, { count: 3, credits: 60, dueAt: later(1), prefix: "behind-" })
    await holding(db, "select from credits.balances where user_id = 'held-up-1' for no key update")
    for (const left of [2, 1, 0]) {
      expect(await db.call("sync.charge_due", { now: later(1), limit: 1 })).toMatchObject({ charged: 1, total: 1 })
      const due = await db.query(
        "select user_id from credits.sync_subscriptions where next_charge_at <= $1 and user_id like 'behind-%'",
        [later(1)]
      )
      expect(due.length).toBe(left)
    }
    expect(await db.call("sync.charge_due", { now: later(1), limit: 1 })).toEqual(nothing)
  })

  test("is skipped without waiting, and charged by the next run", async () => {
    await alone()
    await subscribers(db, { count: 3, credits: 60, dueAt: later(1), prefix: "busy-" })
    const client = await db.pool.connect()
    try {
      await client.query("begin")
      await client.query("select from credits.balances where user_id = 'busy-2' for no key update")
      expect(await db.call("sync.charge_due", { now: later(1) })).toMatchObject({ charged: 2, total: 2 })
    } finally {
      await client.query("rollback")
      client.release()
    }
    expect(await db.call("sync.charge_due", { now: later(1) })).toMatchObject({ charged: 1 })
  })

  test("nobody waits who isn't due", async () => {
    await alone()
    const [due, notDue] = [await subscribed(2), await subscribed(2, { now: later(5) })]
    const charger = await session(db)
    await charger.query("begin")
    expect(await charger.call("sync.charge_due", { now: later(28) })).toEqual({ ...nothing, charged: 1, total: 1 })
    const free = await db.query("select user_id from credits.balances where user_id = any($1) for update skip locked", [
      [due, notDue]
    ])
    expect(free).toEqual([{ user_id: notDue }])
    await charger.query("commit")
  })

  test("so is whose subscription another run has", async () => {
    await alone()
    await subscribers(db, { count: 3, credits: 60, dueAt: later(1), prefix: "shared-" })
    const holder = await holding(db, "select from credits.sync_subscriptions where user_id = 'shared-2' for update")
    expect(await db.call("sync.charge_due", { now: later(1) })).toMatchObject({ charged: 2, total: 2 })
    await holder.release()
    expect(await db.call("sync.charge_due", { now: later(1) })).toMatchObject({ charged: 1 })
  })

  test("so is whom a warning would be for", async () => {
    await alone()
    await subscribers(db, { count: 3, credits: 10, dueAt: later(3), prefix: "warned-" })
    const warned = async () => {
      const rows = await db.query(
        "select user_id from credits.events where type = 'sync.renewal_at_risk' and user_id like 'warned-%' order by 1"
      )
      return rows.map(({ user_id }) => user_id)
    }
    const holder = await holding(db, "select from credits.balances where user_id = 'warned-2' for update")
    await db.call("sync.charge_due", { now: later(1) })
    expect(await warned()).toEqual(["warned-1", "warned-3"])
    await holder.release()
    await db.call("sync.charge_due", { now: later(1) })
    expect(await warned()).toEqual(["warned-1", "warned-2", "warned-3"])
  })
})

describe("the server's trouble", () => {
  const troubled = async (table: string, when: string, body: () => Promise<void>) => {
    await db.query(`
      create function public.trouble() returns trigger language plpgsql as $$
        begin raise 'no disk' using errcode = '53100'; end $$;
      create trigger trouble before insert on credits.${table}
      for each row when (${when}) execute function public.trouble()`)
    try {
      await body()
    } finally {
      await db.query("drop function public.trouble() cascade")
    }
  }

  test("ends the run as a whole; nobody is recorded as broken", async () => {
    await alone()
    await subscribers(db, { count: 3, credits: 60, dueAt: later(1), prefix: "full-" })
    await troubled("transactions", "new.user_id = 'full-2'", async () => {
      expect(await db.refused("sync.charge_due", { now: later(1) })).toMatchObject({ sqlstate: "53100" })
    })
    expect(await db.call("sync.charge_due", { now: later(1) })).toEqual({ ...nothing, charged: 3, total: 3 })
  })

  test("ends it while warning, too; other trouble there leaves the charges as they are", async () => {
    await alone()
    const [due, poor] = [await subscribed(2), await subscribed(1, { now: later(2) })]
    await troubled("events", `new.user_id = '${poor}'`, async () => {
      expect(await db.refused("sync.charge_due", { now: later(28) })).toMatchObject({ sqlstate: "53100" })
    })
    await db.query(`
      create function public.bad() returns trigger language plpgsql as $$ begin raise 'bad event'; end $$;
      create trigger bad before insert on credits.events
      for each row when (new.user_id = '${poor}') execute function public.bad()`)
    expect(await db.call("sync.charge_due", { now: later(28) })).toEqual({ ...nothing, charged: 1, total: 1 })
    expect(await warningsOf(db, "select sync.charge_due($1)", [later(28)])).toEqual([
      expect.stringContaining("bad event")
    ])
    await db.query("drop function public.bad() cascade")
    expect(await chargesOf(db, due)).toHaveLength(2)
  })
})

describe("renewal at risk", () => {
  test("is said once a period, three days before a charge that the balance can't meet", async () => {
    await alone()
    const userId = await subscribed(1)
    await db.call("sync.charge_due", { now: later(24.9) })
    expect(await atRisk(userId)).toBe(0)
    await db.call("sync.charge_due", { now: later(25) })
    expect(await atRisk(userId)).toBe(1)
    await db.call("sync.charge_due", { now: later(26) })
    expect(await atRisk(userId)).toBe(1)
    const [event] = await db.query("select data from credits.events where user_id = $1 order by id desc limit 1", [
      userId
    ])
    expect(event.data).toEqual({
      interval: "monthly",
      required: 30,
      available: 0,
      nextChargeAt: "2027-02-28T10:00:00.000Z"
    })
    // Topped up for one period: the next warning is the next period's.
    await db.call("credits.grant", { userId, amount: 30, reason: "test", referenceId: "more" })
    await db.call("sync.charge_due", { now: later(28) })
    expect(await atRisk(userId)).toBe(1)
    await db.call("sync.charge_due", { now: later(57) })
    expect(await atRisk(userId)).toBe(2)
  })

  test("is not said to who can pay", async () => {
    await alone()
    const userId = await subscribed(2)
    await db.call("sync.charge_due", { now: later(27) })
    expect(await atRisk(userId)).toBe(0)
    await db.call("credits.use", { userId, amount: 1, appId: "chat", description: "test" })
    await db.call("sync.charge_due", { now: later(27) })
    expect(await atRisk(userId)).toBe(1)
  })
})

test("a warning counts holds, and comes to the nearest due first when there are many", async () => {
  await alone()
  await subscribers(db, { count: 2, credits: 30, dueAt: later(3), prefix: "holding-" })
  await subscribers(db, { count: 2, credits: 10, dueAt: later(2.5), prefix: "sooner-" })
  await db.call("credits.reserve", { userId: "holding-1", amount: 1, reason: "test" })
  const warned = async () => {
    const rows = await db.query(
      `select user_id, data -> 'available' as available from credits.events
       where type = 'sync.renewal_at_risk' and user_id ~ '^(holding|sooner)-' order by id`
    )
    return rows.map(({ user_id, available }) => `${user_id} ${available}`)
  }
  const charger = await unindexed(db)
  await charger.call("sync.charge_due", { now: later(1), limit: 2 })
  expect((await warned()).toSorted()).toEqual(["sooner-1 10", "sooner-2 10"])
  await charger.call("sync.charge_due", { now: later(1), limit: 2 })
  expect((await warned()).slice(2)).toEqual(["holding-1 29"])
})

test("a warning says the price of the interval, whichever it is", async () => {
  await alone()
  const monthly = await subscribed(1)
  const yearly = await db.userWith(360)
  await db.call("sync.activate", { userId: yearly, interval: "yearly", now: new Date("2026-02-28T10:00:00.000Z") })
  for (const userId of [monthly, yearly]) {
    await db.call("credits.grant", { userId, amount: userId === yearly ? 50 : 20, reason: "test", referenceId: "some" })
  }
  await db.call("sync.charge_due", { now: later(27) })
  for (const { userId, required, available } of [
    { userId: monthly, required: 30, available: 20 },
    { userId: yearly, required: 360, available: 50 }
  ]) {
    const [event] = await db.query(
      "select type, data from credits.events where user_id = $1 order by id desc limit 1",
      [userId]
    )
    expect(event).toMatchObject({ type: "sync.renewal_at_risk", data: { required, available } })
  }
})

test("who can pay, or is due already, takes nobody's place among the warned", async () => {
  await alone()
  await subscribers(db, { count: 1, credits: 10, dueAt: later(1), prefix: "broken-" })
  await db.query("select sync.record_error('broken-1', 'P0001', 'test', $1)", [later(1)])
  await subscribers(db, { count: 1, credits: 30, dueAt: later(2), prefix: "able-" })
  await subscribers(db, { count: 1, credits: 29, dueAt: later(3), prefix: "unable-" })
  await db.call("sync.charge_due", { now: later(1), limit: 1 })
  for (const userId of ["broken-1", "able-1"]) expect(await eventsOf(db, userId)).toEqual([])
  expect(await eventsOf(db, "unable-1")).toEqual(["sync.renewal_at_risk"])
})

describe("a warning that waits for who is writing, step by step", () => {
  /** It has looked without locks and waits for the balances while `meanwhile` is done; what it then says of the user. */
  const warnedAfter = async (userId: string, at: Date, meanwhile: ReadonlyArray<string>) => {
    const before = await atRisk(userId)
    const writer = await holding(db, "lock table credits.balances in exclusive mode")
    const warner = await db.pool.connect()
    try {
      const [{ pid }] = (await warner.query("select pg_backend_pid() as pid")).rows
      const warned = warner.query("select sync.warn_at_risk($1, 10)", [at])
      await eventually(
        async () => (await db.query("select pg_blocking_pids($1) as pids", [pid]))[0].pids,
        (pids: ReadonlyArray<number>) => pids.includes(writer.pid)
      )
      for (const statement of meanwhile) await writer.query(statement)
      await writer.release()
      await warned
    } finally {
      warner.release()
    }
    return (await atRisk(userId)) - before
  }

  test("is for who is still at risk", async () => {
    await alone()
    const userId = await subscribed(1)
    expect(await warnedAfter(userId, later(27), [])).toBe(1)
  })

  test("isn't for who has got credits meanwhile", async () => {
    await alone()
    const userId = await subscribed(1)
    const grant = `select credits.grant('${userId}', 30, 'test', 'more')`
    expect(await warnedAfter(userId, later(27), [grant])).toBe(0)
  })

  test("isn't for who has been paused meanwhile", async () => {
    await alone()
    const userId = await subscribed(1)
    const charge = `select sync.charge_due('${later(28).toISOString()}')`
    expect(await warnedAfter(userId, later(27), [charge])).toBe(0)
  })
  test("isn't said again to whom another run said it meanwhile", async () => {
    await alone()
    const userId = await subscribed(1)
    const charge = `select sync.charge_due('${later(27).toISOString()}')`
    expect(await warnedAfter(userId, later(27), [charge])).toBe(1)
  })
})
