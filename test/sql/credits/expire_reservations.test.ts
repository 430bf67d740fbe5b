import { afterEach, expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { invalid } from "../../support/refusals.ts"
import { createKey, spentOn } from "../../support/service-keys.ts"
import { holding, session, unindexed, warningsOf } from "../../support/session.ts"

const db = await database()

const now = new Date("2026-03-01T12:00:00Z")
const after = (seconds: number) => new Date(now.getTime() + seconds * 1000)

const hold = async (userId: string, amount: number, expiresInSeconds: number) => {
  const answer = await db.call("credits.reserve", { userId, amount, reason: "a call", expiresInSeconds, now })
  return answer.reservationId
}
const expire = (more: { readonly now: Date; readonly limit?: number }) => db.call("credits.expire_reservations", more)
const status = async (id: string) => {
  const [row] = await db.query("select status, closed_at from credits.reservations where id = $1", [id])
  return row
}

// Every test starts with no hold open.
afterEach(async () => {
  await expire({ now: after(1_000_000), limit: 10_000 })
})

test("sets free what is past its expiry, that instant included, and leaves the rest", async () => {
  const userId = await db.userWith(100)
  const due = [await hold(userId, 10, 60), await hold(userId, 20, 59)]
  const later = await hold(userId, 30, 61)
  expect(await expire({ now: after(60) })).toEqual({ expired: 2 })
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 100, held: 30, version: 1, updated_at: after(60) })
  for (const id of due) expect(await status(id)).toEqual({ status: "expired", closed_at: after(60) })
  expect(await status(later)).toEqual({ status: "open", closed_at: null })
})

test("does nothing the second time", async () => {
  const userId = await db.userWith(100)
  await hold(userId, 10, 60)
  expect(await expire({ now: after(60) })).toEqual({ expired: 1 })
  const before = await db.books()
  expect(await expire({ now: after(60) })).toEqual({ expired: 0 })
  expect(await db.books()).toEqual(before)
})

test("leaves what was committed or released", async () => {
  const userId = await db.userWith(100)
  await db.call("credits.commit", { reservationId: await hold(userId, 10, 60), now })
  await db.call("credits.release", { reservationId: await hold(userId, 10, 60), now })
  expect(await expire({ now: after(60) })).toEqual({ expired: 0 })
})

test("takes the users of the oldest ones first, and the rest when called again", async () => {
  const users = [await db.userWith(10), await db.userWith(10), await db.userWith(10)]
  for (const [index, userId] of users.entries()) await hold(userId, 1, 60 - index)
  const sweeper = await unindexed(db)
  expect(await sweeper.call("credits.expire_reservations", { now: after(60), limit: 2 })).toEqual({ expired: 2 })
  expect(await Promise.all(users.map(db.balanceRow))).toMatchObject([{ held: 1 }, { held: 0 }, { held: 0 }])
  expect(await expire({ now: after(60), limit: 2 })).toEqual({ expired: 1 })
})

test("skips a user whom somebody is using, without waiting", async () => {
  const busy = await db.userWith(10)
  const idle = await db.userWith(10)
  await hold(busy, 1, 60)
  await hold(idle, 1, 60)
  const client = await db.pool.connect()
  try {
    await client.query("begin")
    await client.query("select from credits.balances where user_id = $1 for no key update", [busy])
    expect(await expire({ now: after(60) })).toEqual({ expired: 1 })
    await client.query("commit")
  } finally {
    client.release()
  }
  expect(await expire({ now: after(60) })).toEqual({ expired: 1 })
})

test("who is in use keeps nobody behind them waiting", async () => {
  const busy = [await db.userWith(10), await db.userWith(10)]
  for (const userId of busy) await hold(userId, 1, 50)
  await hold(await db.userWith(10), 1, 60)
  const holder = await holding(db, "select from credits.balances where user_id = any ($1) for no key update", [busy])
  expect(await expire({ now: after(60), limit: 2 })).toEqual({ expired: 1 })
  expect(await expire({ now: after(60), limit: 2 })).toEqual({ expired: 0 })
  await holder.release()
  expect(await expire({ now: after(60), limit: 2 })).toEqual({ expired: 2 })
})

/** Five with a hold that is over, of whom one's balance knows nothing of it. */
const fiveOfWhomOneIsBroken = async () => {
  const users = []
  for (let n = 0; n < 5; n++) users.push(await db.userWith(10))
  for (const [index, userId] of users.entries()) await hold(userId, 1, 50 + index)
  const [, broken = ""] = users
  await db.query("update credits.balances set held = 0 where user_id = $1", [broken])
  return { broken, mend: () => db.query("update credits.balances set held = 1 where user_id = $1", [broken]) }
}

test("who is broken keeps nobody waiting, before them or behind", async () => {
  const { mend } = await fiveOfWhomOneIsBroken()
  expect(await expire({ now: after(60) })).toEqual({ expired: 4 })
  expect(await expire({ now: after(60), limit: 1 })).toEqual({ expired: 0 })
  // One that is behind it, where one is all that is looked at.
  const late = await hold(await db.userWith(10), 1, 60)
  expect(await expire({ now: after(60), limit: 1 })).toEqual({ expired: 1 })
  expect(await status(late)).toMatchObject({ status: "expired" })
  await mend()
})

test("says once who is broken", async () => {
  const { broken, mend } = await fiveOfWhomOneIsBroken()
  expect(await warningsOf(db, "select credits.expire_reservations($1)", [after(60)])).toEqual([
    expect.stringContaining(`the holds of ${broken} were not set free`)
  ])
  await mend()
})

test("ends as a whole when the trouble is the server's, not a hold's", async () => {
  const ids = [await hold(await db.userWith(10), 1, 60), await hold(await db.userWith(10), 1, 60)]
  await db.query(`
    create function public.fail() returns trigger language plpgsql as $$
      begin raise 'no disk' using errcode = '53100'; end $$;
    create trigger troubled before update on credits.reservations
    for each row when (new.id = '${ids[0]}') execute function public.fail()`)
  expect(await db.refused("credits.expire_reservations", { now: after(60) })).toMatchObject({ sqlstate: "53100" })
  await db.query("drop function public.fail() cascade")
  expect(await expire({ now: after(60) })).toEqual({ expired: 2 })
})

test("gives what was held back to the caps it was counted against", async () => {
  const { id: serviceKeyId } = await createKey(db, { dailyCap: 50, now })
  const userId = await db.userWith(100)
  for (const amount of [10, 20]) {
    await db.call("credits.reserve", { userId, amount, reason: "a call", expiresInSeconds: amount, serviceKeyId, now })
  }
  await expire({ now: after(10) })
  expect(await spentOn(db, serviceKeyId)).toEqual({ "2026-03-01": 20 })
})

test("takes the caps it gives back to in order, whatever order the holds were made in", async () => {
  const userId = await db.userWith(100)
  const keys = await Promise.all(Array.from({ length: 8 }, () => createKey(db, { dailyCap: 50, now })))
  const ids = keys.map(({ id }) => id).toSorted()
  for (const serviceKeyId of ids.toReversed()) {
    await db.call("credits.reserve", { userId, amount: 1, reason: "a call", expiresInSeconds: 60, serviceKeyId, now })
  }
  const days = "select from credits.service_key_days where key_id = any($1) for update"
  const holder = await holding(db, days, [ids.slice(0, 1)])
  const sweeper = await session(db)
  // Sorted because it must be, not because the planner groups by sorting.
  await sweeper.query("set enable_sort = off")
  const swept = sweeper.call("credits.expire_reservations", { now: after(60) })
  await sweeper.waitsFor(holder)
  await db.query(`${days} nowait`, [ids.slice(1)])
  await holder.release()
  expect(await swept).toEqual({ expired: 8 })
})

test("keeps nobody waiting whose holds aren't over", async () => {
  const [over, open, none] = [await db.userWith(10), await db.userWith(10), await db.userWith(10)]
  await hold(over, 1, 60)
  await hold(open, 1, 61)
  const sweeper = await session(db)
  await sweeper.query("begin")
  expect(await sweeper.call("credits.expire_reservations", { now: after(60) })).toEqual({ expired: 1 })
  const free = await db.query("select user_id from credits.balances where user_id = any($1) for update skip locked", [
    [over, open, none]
  ])
  expect(free.map(({ user_id }) => user_id).toSorted()).toEqual([open, none].toSorted())
  await sweeper.query("commit")
})

test.each([{ limit: null }, { limit: 0 }, { limit: -1 }, { limit: 10_001 }])(
  "refuses a limit of $limit (CR001)",
  async ({ limit }) => {
    await hold(await db.userWith(10), 1, 60)
    expect(await db.refused("credits.expire_reservations", { now: after(60), limit })).toEqual(invalid("limit"))
  }
)
