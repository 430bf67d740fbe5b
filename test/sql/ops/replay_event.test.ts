import { beforeEach, expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { refusedBy } from "../../support/refusals.ts"
import { after, hours, only, outbox, types } from "../events/outbox.ts"

const db = await database()
const { emit, claim, delivered, failed } = outbox(db)

beforeEach(async () => {
  await db.query("delete from credits.events")
})

test("delivers a parked event as if it were new, before the user's later ones", async () => {
  await emit("ann", "a.one")
  await claim(0)
  expect(await failed(only(await claim(100)), 73 * hours)).toMatchObject({ parked: true })
  await emit("ann", "a.two", after(74 * hours))
  const [parked] = await db.rows("ops.parked_events", {}, "mana_ops")
  await db.rows("ops.replay_event", { userId: "ann", id: parked.id, now: after(75 * hours) }, "mana_ops")
  expect(await db.rows("ops.parked_events", {}, "mana_ops")).toEqual([])
  const again = only(await claim(75 * hours))
  expect(again).toMatchObject({ type: "a.one", attempt: 1 })
  await delivered(again, 75 * hours)
  expect(types(await claim(75 * hours))).toEqual(["ann a.two"])
})

test("refuses an event that isn't there (CR105), and everybody but ops", async () => {
  await emit("ann", "a.one")
  const { id } = only(await claim(0))
  expect(await db.refused("ops.replay_event", { userId: "bob", id }, "mana_ops")).toEqual(refusedBy("CR105"))
  expect(await db.refused("ops.replay_event", { userId: "ann", id })).toMatchObject({ sqlstate: "42501" })
})
