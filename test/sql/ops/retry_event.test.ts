import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { session } from "../../support/session.ts"
import { chargeRefunded, begin, paid, paymentIntent, send, standing } from "../../support/stripe.ts"

const db = await database()

test("applies an event again, and what was done stays done once", async () => {
  const purchase = await paid(db)
  const event = paymentIntent(purchase, "succeeded")
  await send(db, event)
  expect(await db.rows("ops.retry_event", { eventId: event.id }, "mana_ops")).toEqual([
    expect.objectContaining({ id: event.id, outcome: "applied", reason: null })
  ])
  expect(await standing(db, purchase)).toMatchObject({ balance: 1050 })
})

test("tries a kept event for three more days", async () => {
  const purchase = await begin(db, { checkout: true })
  const event = chargeRefunded(purchase, 500)
  await send(db, event)
  await db.query("update credits.stripe_events set attempts = 14, next_attempt_at = null where id = $1", [event.id])
  expect(await db.rows("ops.retry_event", { eventId: event.id }, "mana_ops")).toEqual([
    expect.objectContaining({ outcome: "kept", attempts: 1, next_attempt_at: expect.any(Date) })
  ])
})

test("waits for whoever is at the event, and goes by what they left", async () => {
  const purchase = await begin(db)
  const id = "evt_read_again"
  await send(db, paymentIntent(purchase, "succeeded", { id, apiVersion: "2019-01-01" }))
  const [reading, retrying] = [await session(db), await session(db, "mana_ops")]
  await reading.query("begin")
  await reading.call("stripe.apply_event", { event: paymentIntent(purchase, "succeeded", { id }) })
  const retried = retrying.call("ops.retry_event", { eventId: id })
  await retrying.waitsFor(reading)
  await reading.query("commit")
  await retried
  expect(await db.query("select outcome, reason from credits.stripe_events where id = $1", [id])).toEqual([
    { outcome: "applied", reason: null }
  ])
  expect(await standing(db, purchase)).toMatchObject({ status: "completed", balance: 1050 })
})

test("refuses an event that isn't there (CR307)", async () => {
  expect(await db.refused("ops.retry_event", { eventId: "evt_none" }, "mana_ops")).toEqual({
    sqlstate: "CR307",
    message: expect.any(String),
    detail: { eventId: "evt_none" }
  })
})
