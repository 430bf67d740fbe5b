import { beforeEach, expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { session } from "../../support/session.ts"
import { after, outbox, types } from "../events/outbox.ts"

const db = await database()
const { emit, claim } = outbox(db)

beforeEach(async () => {
  await db.query("delete from credits.events")
})

test("sets aside what is older than a time, for a receiver that came late", async () => {
  await emit("ann", "a.one")
  await emit("ann", "a.two", after(10))
  await emit("ann", "a.three", after(20))
  const park = async (limit: number) => {
    const [row] = await db.rows("ops.park_events", { before: after(20), limit, now: after(30) }, "mana_ops")
    return row.park_events
  }
  expect([await park(1), await park(10), await park(10)]).toEqual([1, 1, 0])
  expect(types(await claim(30))).toEqual(["ann a.three"])
  expect(await db.rows("ops.parked_events", {}, "mana_readonly")).toMatchObject([
    { type: "a.one", last_error: "parked by login_ops" },
    { type: "a.two", last_error: "parked by login_ops" }
  ])
})

test("what waited behind it is due at once", async () => {
  await emit("ann", "a.one")
  await emit("ann", "a.two", after(20))
  await db.query("update credits.events set deliver_at = $1", [after(20_000)])
  await db.rows("ops.park_events", { before: after(20), now: after(30) }, "mana_ops")
  expect(types(await claim(30))).toEqual(["ann a.two"])
})

test("the longest due first, by the limit, and passes by what somebody is at", async () => {
  await emit("ann", "a.late", after(10))
  await emit("bob", "b.early")
  await emit("cid", "c.taken", after(-5))
  const parking = await session(db, "mana_ops")
  await parking.query("set lock_timeout = '1s'")
  const park = { before: after(20), now: after(30) }
  const taking = await db.pool.connect()
  try {
    await taking.query("begin")
    await taking.query("select from credits.events where user_id = 'cid' for update")
    expect(await parking.call("ops.park_events", { ...park, limit: 1 })).toBe("1")
    expect(await db.rows("ops.parked_events", {}, "mana_readonly")).toMatchObject([{ type: "b.early" }])
    expect(await parking.call("ops.park_events", park)).toBe("1")
  } finally {
    await taking.query("rollback")
    taking.release()
  }
  expect(await parking.call("ops.park_events", park)).toBe("1")
})
