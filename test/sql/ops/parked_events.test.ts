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
