import { beforeEach, expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { invalid } from "../../support/refusals.ts"
import { session, unindexed } from "../../support/session.ts"
import { after, hours, only, outbox, start, types } from "./outbox.ts"

const db = await database()
const { emit, claim, delivered, failed, row } = outbox(db)

beforeEach(async () => {
  await db.query("delete from credits.events")
})

test("gives each user's earliest event, and the next one once it is delivered", async () => {
  await emit("ann", "a.one")
  await emit("ann", "a.two")
  await emit("bob", "a.one")
  await emit("ann", "a.three")
  const first = await claim(0)
  expect(types(first)).toEqual(["ann a.one", "bob a.one"])
  expect(await claim(1)).toEqual([])
  for (const event of first) await delivered(event, 1)
  for (const type of ["ann a.two", "ann a.three"]) {
    const next = await claim(2)
    expect(types(next)).toEqual([type])
    await delivered(only(next), 2)
  }
  expect(await claim(100 * hours)).toEqual([])
})

test("says what happened", async () => {
  await db.query("select credits.emit('ann', 'gift.created', '{\"credits\": 5}', $1)", [start])
  expect(await claim(0)).toEqual([
    {
      id: expect.any(Number),
      userId: "ann",
      type: "gift.created",
      data: { credits: 5 },
      createdAt: start.toISOString(),
      attempt: 1
    }
  ])
})

test("gives at most as many as asked, the longest waiting first, however many stand behind one", async () => {
  await db.query("select credits.emit('ann', 'a.one', '{}', $1) from generate_series(1, 600)", [start])
  await emit("bob", "a.one", after(1))
  await emit("eve", "a.one", after(2))
  expect(types(await claim(5, { limit: 1 }))).toEqual(["ann a.one"])
  expect(types(await claim(5, { limit: 1 }))).toEqual(["bob a.one"])
  expect(types(await claim(5, { limit: 1 }))).toEqual(["eve a.one"])
  expect(await claim(5)).toEqual([])
})

test("gives it again when the lease is over and nobody said what became of it", async () => {
  await emit("ann", "a.one")
  await emit("ann", "a.two")
  await claim(0, { leaseSeconds: 30 })
  expect(await claim(29)).toEqual([])
  expect(only(await claim(30))).toMatchObject({ type: "a.one", attempt: 2 })
})

test("gives two deliverers different events at the same time", async () => {
  for (let n = 0; n < 40; n += 1) {
    await emit(`user-${n}`, "a.one")
    await emit(`user-${n}`, "a.two")
  }
  const batches = await Promise.all(Array.from({ length: 8 }, () => claim(0, { limit: 10 })))
  const rest = [...batches, await claim(0, { limit: 100 })].flat()
  expect(types(rest).toSorted()).toEqual(Array.from({ length: 40 }, (_, n) => `user-${n} a.one`).toSorted())
})

test("leaves what is beyond the first 500 to a deliverer at the same time, who waits for nobody", async () => {
  await db.query("select credits.emit('user-' || n, 'a.one', '{}', $1) from generate_series(1, 501) n", [start])
  const [a, b] = [await session(db), await session(db)]
  await a.query("begin")
  expect(await a.call("events.claim", { now: start, limit: 1 })).toMatchObject([{ userId: "user-1" }])
  expect(await b.call("events.claim", { now: start, limit: 1 })).toMatchObject([{ userId: "user-501" }])
  expect(await b.call("events.claim", { now: start, limit: 1 })).toEqual([])
  await a.query("rollback")
})

test("takes those that are due longest, wherever they lie, and gives the oldest first, tried before or not", async () => {
  await emit("ann", "a.one")
  await failed(only(await claim(0)), 1)
  await db.query("select credits.emit('user-' || n, 'a.one', '{}', $1) from generate_series(1, 500) n", [after(5)])
  await emit("bob", "a.one", after(4))
  const deliverer = await unindexed(db)
  const at = (seconds: number, limit: number) => deliverer.call("events.claim", { now: after(seconds), limit })
  // Ann's is due again at 11, after 500 others: it isn't among them yet.
  const first = await at(20, 2)
  expect(first).toMatchObject([{ userId: "user-1" }, { userId: "user-2" }])
  await db.query("delete from credits.events where user_id ~ '^user-' and id % 2 = 0")
  expect(await at(20, 1)).toMatchObject([{ userId: "ann", attempt: 2 }])
  expect(await at(20, 1000)).toMatchObject(
    expect.arrayContaining([expect.objectContaining({ userId: "bob", type: "a.one" })])
  )
})

test("gives the earlier one first, wherever its row lies", async () => {
  await emit("ann", "a.one")
  await emit("ann", "a.two")
  await failed(only(await claim(0)), 1)
  const deliverer = await unindexed(db)
  expect(await deliverer.call("events.claim", { now: after(100) })).toMatchObject([{ type: "a.one", attempt: 2 }])
})

test("answers in the order in which they happened, however the rows are found", async () => {
  for (const userId of ["zoe", "ann", "bob"]) await emit(userId, "a.one")
  // Tried before, zoe's row lies behind the others.
  for (const event of (await claim(0)).toReversed()) await failed(event, 1)
  const deliverer = await unindexed(db)
  for (const join of ["nestloop", "mergejoin"]) await deliverer.query(`set enable_${join} = off`)
  expect(await deliverer.call("events.claim", { now: after(20) })).toMatchObject([
    { userId: "zoe" },
    { userId: "ann" },
    { userId: "bob" }
  ])
})

test("puts off what stands behind an earlier one until that one is tried again, or the lease is over", async () => {
  await emit("ann", "a.one")
  await failed(only(await claim(0)), 1)
  await emit("ann", "a.two", after(2))
  const second = async () => {
    const [event] = await db.query("select deliver_at from credits.events where type = 'a.two'")
    return event.deliver_at
  }
  expect(await claim(3, { leaseSeconds: 5 })).toEqual([])
  expect(await second()).toEqual(after(11))
  const again = only(await claim(11, { leaseSeconds: 60 }))
  expect(await second()).toEqual(after(71))
  expect(await row(again)).toMatchObject({ deliver_at: after(71), attempts: 2 })
})

test("refuses what is out of bounds (CR001)", async () => {
  for (const limit of [0, 1001, null]) expect(await db.refused("events.claim", { limit })).toEqual(invalid("limit"))
  for (const leaseSeconds of [0, 3601, null]) {
    expect(await db.refused("events.claim", { leaseSeconds })).toEqual(invalid("leaseSeconds"))
  }
})
