import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { invalid } from "../../support/refusals.ts"
import { begin, paymentIntent, send } from "../../support/stripe.ts"

const db = await database()

test("what was never delivered, and what came in another version", async () => {
  const purchase = await begin(db)
  const seen = paymentIntent(purchase, "processing")
  const old = paymentIntent(purchase, "succeeded", { apiVersion: "2019-01-01" })
  await send(db, seen, old)
  expect(await db.call("stripe.unseen_events", { eventIds: ["evt_b", seen.id, old.id, "evt_a"] })).toEqual([
    "evt_b",
    old.id,
    "evt_a"
  ])
  expect(await db.call("stripe.unseen_events", { eventIds: [] })).toEqual([])
  const thousand = Array.from({ length: 1000 }, (_, n) => `evt_${n}`)
  expect(await db.call("stripe.unseen_events", { eventIds: thousand })).toEqual(thousand)
})

test.each([{ eventIds: {} }, { eventIds: null }, { eventIds: Array.from({ length: 1001 }, String) }])(
  "refuses what isn't an array of at most 1,000 ids (CR001)",
  async ({ eventIds }) => {
    expect(await db.refused("stripe.unseen_events", { eventIds })).toEqual(invalid("eventIds"))
  }
)
