import { beforeEach, expect, test } from "vitest"
import { database } from "../../support/database.ts"
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
