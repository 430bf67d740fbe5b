import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { daysAfter, events, given, movements } from "../../support/gifts.ts"
import { invalid } from "../../support/refusals.ts"
import { holding, session, unindexed, warningsOf } from "../../support/session.ts"

const db = await database()
const nothing = { expired: 0, totalCredits: 0, failed: 0 }

// Each test gives in a year of its own, so that none sweeps what another one gave.
const year = (number: number) => new Date(Date.UTC(number, 0, 1))

test("returns the credits of gifts past their expiry, and of no others", async () => {
  const now = year(2001)
  const { creatorId, gift } = await given(db, 30, { expirationDays: 10, now })
  const later = await given(db, 40, { expirationDays: 11, now })
  const end = daysAfter(now, 10)
  expect(await db.call("gifts.expire", { now: new Date(end.getTime() - 1) })).toEqual(nothing)
  expect(await db.call("gifts.expire", { now: end, caller: "expiry" })).toEqual({
    ...nothing,
    expired: 1,
    totalCredits: 30
  })
  expect(await db.call("gifts.expire", { now: end })).toEqual(nothing)

  expect(await db.balanceRow(creatorId)).toMatchObject({ balance: 30 })
  expect(await movements(db, gift.id)).toEqual([
    { user_id: creatorId, amount: -30 },
    { user_id: creatorId, amount: 30 }
  ])
  expect((await events(db, creatorId)).at(-1)).toEqual({
    type: "gift.expired",
    data: { giftId: gift.id, credits: 30, transactionId: expect.any(String) }
  })
  await db.call("gifts.cancel", { userId: later.creatorId, giftId: later.gift.id, now })
})

test("takes the oldest first, no more than allowed", async () => {
  const now = year(2002)
  for (const expirationDays of [3, 1, 2]) await given(db, expirationDays, { expirationDays, now })
  const request = { now: daysAfter(now, 100), limit: 2 }
  const sweeper = await unindexed(db)
  expect(await sweeper.call("gifts.expire", request)).toEqual({ ...nothing, expired: 2, totalCredits: 3 })
  expect(await db.call("gifts.expire", request)).toEqual({ ...nothing, expired: 1, totalCredits: 3 })
})

test("keeps nobody waiting whose gifts it doesn't return", async () => {
  const now = year(2009)
  const { creatorId } = await given(db, 10, { now })
  const later = await given(db, 10, { now: daysAfter(now, 50) })
  const others = [await db.userWith(1), later.creatorId]
  const sweeper = await session(db)
  await sweeper.query("begin")
  expect(await sweeper.call("gifts.expire", { now: daysAfter(now, 91) })).toMatchObject({ expired: 1 })
  const free = await db.query("select user_id from credits.balances where user_id = any($1) for update skip locked", [
    [creatorId, ...others]
  ])
  expect(free.map(({ user_id }) => user_id).toSorted()).toEqual(others.toSorted())
  await sweeper.query("commit")
  await db.call("gifts.cancel", { userId: later.creatorId, giftId: later.gift.id, now: daysAfter(now, 50) })
})

test("leaves a gift that was redeemed after it was found and before its giver was locked", async () => {
  const now = year(2010)
  const { creatorId, gift } = await given(db, 10, { now })
  const writer = await holding(db, "lock table credits.balances in exclusive mode")
  const sweeper = await session(db)
  const swept = sweeper.call("gifts.expire", { now: daysAfter(now, 91) })
  await sweeper.waitsFor(writer)
  await writer.query(`select gifts.redeem('in time', '${gift.code}', p_now => '${now.toISOString()}')`)
  await writer.release()
  expect(await swept).toEqual(nothing)
  expect(await db.balanceRow(creatorId)).toMatchObject({ balance: 0 })
})

test("leaves a gift that somebody has locked for the next run", async () => {
  const now = year(2007)
  const { gift } = await given(db, 10, { now })
  await given(db, 20, { now })
  const end = daysAfter(now, 91)
  const holder = await holding(db, "select from gifts.gift_codes where id = $1 for update", [gift.id])
  expect(await db.call("gifts.expire", { now: end })).toEqual({ ...nothing, expired: 1, totalCredits: 20 })
  await holder.release()
  expect(await db.call("gifts.expire", { now: end })).toEqual({ ...nothing, expired: 1, totalCredits: 10 })
})

test("ends as a whole when the trouble is the server's, not a gift's", async () => {
  const now = year(2008)
  const { gift } = await given(db, 10, { now })
  await given(db, 20, { now })
  const request = { now: daysAfter(now, 91) }
  await db.query(`
    create function public.fail() returns trigger language plpgsql as $$
      begin raise 'no disk' using errcode = '53100'; end $$;
    create trigger troubled before update on gifts.gift_codes
    for each row when (new.id = '${gift.id}') execute function public.fail()`)
  expect(await db.refused("gifts.expire", request)).toMatchObject({ sqlstate: "53100" })
  await db.query("drop trigger troubled on gifts.gift_codes; drop function public.fail()")
  expect(await db.call("gifts.expire", request)).toEqual({ ...nothing, expired: 2, totalCredits: 30 })
})

test("returns several gifts of one giver in one run, in the order in which they were given", async () => {
  const now = year(2003)
  const userId = await db.userWith(65)
  for (const totalCredits of [10, 20, 30]) await db.call("gifts.create", { userId, totalCredits, now })
  const open = await db.call("gifts.create", { userId, totalCredits: 5, expirationDays: 92, now })
  // The first one lies last in the table.
  await db.query(
    `update gifts.gift_codes set expires_at = expires_at + interval '1 second'
     where creator_id = $1 and total_credits = 10`,
    [userId]
  )
  const sweeper = await unindexed(db)
  expect(await sweeper.call("gifts.expire", { now: daysAfter(now, 91) })).toMatchObject({ expired: 3 })
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 60, version: 8 })
  await db.call("gifts.cancel", { userId, giftId: open.id, now })
  const rows = await db.query("select amount from credits.transactions where user_id = $1 order by seq offset 5", [
    userId
  ])
  expect(rows.map(({ amount }) => amount)).toEqual([10, 20, 30, 5])
})

test("leaves a giver somebody has locked for the next run", async () => {
  const now = year(2004)
  const busy = await given(db, 10, { now })
  const idle = await given(db, 20, { now })
  const end = daysAfter(now, 91)
  const holder = await holding(db, "select from credits.balances where user_id = $1 for no key update", [
    busy.creatorId
  ])
  expect(await db.call("gifts.expire", { now: end })).toEqual({ ...nothing, expired: 1, totalCredits: 20 })
  await holder.release()
  expect(await db.call("gifts.expire", { now: end })).toEqual({ ...nothing, expired: 1, totalCredits: 10 })
  expect(await db.balanceRow(idle.creatorId)).toMatchObject({ balance: 20 })
})

test("who is in use, or broken, keeps none behind them waiting", async () => {
  const now = year(2014)
  const busy = await given(db, 10, { expirationDays: 10, now })
  const broken = await given(db, 20, { expirationDays: 11, now })
  await given(db, 30, { expirationDays: 12, now })
  const end = daysAfter(now, 91)
  await db.query(`
    create function public.broken() returns trigger language plpgsql as $$ begin raise 'broken'; end $$;
    create trigger broken before update on gifts.gift_codes
    for each row when (new.id = '${broken.gift.id}') execute function public.broken()`)
  const holder = await holding(db, "select from credits.balances where user_id = $1 for no key update", [
    busy.creatorId
  ])
  expect(await db.call("gifts.expire", { now: end, limit: 1 })).toEqual({ expired: 1, totalCredits: 30, failed: 1 })
  expect(await db.call("gifts.expire", { now: end, limit: 1 })).toEqual({ ...nothing, failed: 1 })
  await db.query("drop function public.broken() cascade")
  await holder.release()
  expect(await db.call("gifts.expire", { now: end })).toEqual({ ...nothing, expired: 2, totalCredits: 30 })
})

test("goes on after one that fails, which stays in escrow", async () => {
  const now = year(2005)
  const poisoned = await given(db, 10, { now })
  await given(db, 20, { now })
  const end = daysAfter(now, 91)
  await db.query(`
    create function public.fail() returns trigger language plpgsql as $$ begin raise 'poisoned'; end $$;
    create trigger poisoned before update on gifts.gift_codes
    for each row when (new.id = '${poisoned.gift.id}') execute function public.fail()`)
  expect(await db.call("gifts.expire", { now: end })).toEqual({ expired: 1, totalCredits: 20, failed: 1 })
  expect(await db.balanceRow(poisoned.creatorId)).toMatchObject({ balance: 0 })
  expect(await warningsOf(db, "select gifts.expire($1)", [end])).toEqual([expect.stringContaining(poisoned.gift.id)])
  await db.verify()
  await db.query("drop trigger poisoned on gifts.gift_codes; drop function public.fail()")
  expect(await db.call("gifts.expire", { now: end })).toEqual({ ...nothing, expired: 1, totalCredits: 10 })
})

test("returns each gift once when several sweep at once", async () => {
  const now = year(2006)
  for (let index = 0; index < 20; index++) await given(db, 5, { now })
  const runs: ReadonlyArray<{ readonly expired: number }> = await Promise.all(
    Array.from({ length: 8 }, () => db.call("gifts.expire", { now: daysAfter(now, 91) }))
  )
  expect(runs.reduce((sum, run) => sum + run.expired, 0)).toBe(20)
})

test.each([{ limit: null }, { limit: 0 }, { limit: 10_001 }])(
  "refuses a batch of $limit (CR001)",
  async ({ limit }) => {
    expect(await db.refused("gifts.expire", { limit })).toEqual(invalid("limit"))
  }
)
