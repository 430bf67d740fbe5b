import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { after, hours, only, outbox } from "../events/outbox.ts"

const db = await database()
const { emit, claim, failed } = outbox(db)

test("says which events nobody took for three days, and why", async () => {
  await emit("ann", "a.one")
  await emit("bob", "a.one", after(10))
  const parked = () => db.rows("ops.parked_events", {}, "mana_readonly")
  await failed(only(await claim(0)), 0)
  await failed(only(await claim(10, { limit: 1 })), 72 * hours)
  await failed(only(await claim(80 * hours, { limit: 1 })), 80 * hours)
  expect(await parked()).toMatchObject([
    { user_id: "ann", type: "a.one", last_error: "HTTP 500", parked_at: after(72 * hours), attempts: 2 }
  ])
  await failed(only(await claim(90 * hours)), 90 * hours)
  expect(await parked()).toHaveLength(1)
  await failed(only(await claim(200 * hours)), 200 * hours)
  expect(await parked()).toMatchObject([{ user_id: "ann" }, { user_id: "bob" }])
})

test("the longest parked first, then as they were written, whatever places the rows have", async () => {
  await db.query("delete from credits.events")
  for (const type of ["a.first", "a.second", "a.third"]) await emit("cid", type)
  for (const [type, hour] of [
    ["a.second", 2],
    ["a.first", 2],
    ["a.third", 1]
  ] as const) {
    await db.query("update credits.events set deliver_at = null, parked_at = $2 where type = $1", [
      type,
      after(hour * hours)
    ])
  }
  const rows: ReadonlyArray<{ readonly type: string }> = await db.rows("ops.parked_events", {}, "mana_readonly")
  expect(rows.map(({ type }) => type)).toEqual(["a.third", "a.first", "a.second"])
})
