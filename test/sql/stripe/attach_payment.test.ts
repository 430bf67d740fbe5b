import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { invalid, nobodysId, noPurchase } from "../../support/refusals.ts"
import { session } from "../../support/session.ts"
import { begin, chargeRefunded, outbox, paymentIntent, send, standing } from "../../support/stripe.ts"

const db = await database()

test("keeps the PaymentIntent, again and again", async () => {
  const { purchaseId, paymentIntentId } = await begin(db, { attached: false })
  const first = await db.call("stripe.attach_payment", { purchaseId, paymentIntentId })
  expect(first).toMatchObject({ purchaseId, paymentIntentId, status: "pending" })
  const before = await db.books()
  expect(await db.call("stripe.attach_payment", { purchaseId, paymentIntentId })).toEqual(first)
  expect(await db.books()).toEqual(before)
})

test("keeps a Checkout Session and its URL", async () => {
  const purchase = await begin(db, { attached: false, checkout: true })
  const { purchaseId, checkoutSessionId } = purchase
  const checkoutUrl = "https://checkout.test/pay"
  expect(await db.call("stripe.attach_payment", { purchaseId, checkoutSessionId, checkoutUrl })).toMatchObject({
    checkoutSessionId,
    checkoutUrl,
    paymentIntentId: null
  })
})

test("applies what came before it was known whose it is", async () => {
  const purchase = await begin(db, { attached: false })
  const stranger = { fields: { metadata: {} } }
  await send(db, chargeRefunded(purchase, 500), paymentIntent(purchase, "succeeded", stranger))
  expect(await standing(db, purchase)).toMatchObject({ status: "pending", balance: 0 })
  const { purchaseId, paymentIntentId } = purchase
  expect(await db.call("stripe.attach_payment", { purchaseId, paymentIntentId })).toMatchObject({ status: "completed" })
  expect(await standing(db, purchase)).toMatchObject({ status: "completed", balance: 525 })
})

test("applies what happened first first, however it came", async () => {
  const purchase = await begin(db, { attached: false })
  const anonymous = { fields: { metadata: {} } }
  await send(
    db,
    paymentIntent(purchase, "succeeded", { at: 20, ...anonymous }),
    paymentIntent(purchase, "canceled", { at: 10, ...anonymous })
  )
  const { purchaseId, paymentIntentId, userId } = purchase
  await db.call("stripe.attach_payment", { purchaseId, paymentIntentId })
  expect(await outbox(db, userId)).toEqual(["purchase.failed", "purchase.completed"])
})

test("leaves alone what came of other payments", async () => {
  const [purchase, other] = [await begin(db, { attached: false }), await begin(db, { attached: false })]
  const event = chargeRefunded(other, 500)
  await send(db, event, chargeRefunded(purchase, 500))
  const stored = async () => (await db.query("select * from credits.stripe_events where id = $1", [event.id]))[0]
  const before = await stored()
  const { purchaseId, paymentIntentId } = purchase
  await db.call("stripe.attach_payment", { purchaseId, paymentIntentId })
  expect(await stored()).toEqual(before)
})

test("passes by an event that somebody is at: it finds the purchase by itself", async () => {
  const purchase = await begin(db, { attached: false })
  const [taken, free] = [500, 300].map((refunded, at) => chargeRefunded(purchase, refunded, { at }))
  for (const event of [taken, free]) if (event !== undefined) await send(db, event)
  const { purchaseId, paymentIntentId } = purchase
  const attaching = await session(db)
  await attaching.query("set lock_timeout = '1s'")
  const client = await db.pool.connect()
  try {
    await client.query("begin")
    await client.query("select from credits.stripe_events where id = $1 for update", [taken?.id])
    expect(await attaching.call("stripe.attach_payment", { purchaseId, paymentIntentId })).toMatchObject({ purchaseId })
  } finally {
    await client.query("rollback")
    client.release()
  }
  const outcomes = await db.query(
    "select id, outcome from credits.stripe_events where payment_intent_id = $1 order by created",
    [paymentIntentId]
  )
  expect(outcomes).toEqual([
    { id: taken?.id, outcome: "kept" },
    { id: free?.id, outcome: "applied" }
  ])
})

test("applies 100 of what came before at once, and leaves the rest to the next retry", async () => {
  const purchase = await begin(db, { attached: false })
  const early = chargeRefunded(purchase, 500)
  await send(db, early)
  await db.query(
    `insert into credits.stripe_events
       (id, type, created, api_version, livemode, payload, payment_intent_id, outcome, reason, attempts, received_at)
     select id || '_' || n, type, created, api_version, livemode, payload, payment_intent_id, outcome, reason, attempts,
       received_at
     from credits.stripe_events, generate_series(1, 101) n
     where id = $1`,
    [early.id]
  )
  const { purchaseId, paymentIntentId } = purchase
  const kept = async () => {
    const rows = await db.query("select from credits.stripe_events where payment_intent_id = $1 and outcome = 'kept'", [
      paymentIntentId
    ])
    return rows.length
  }
  await db.call("stripe.attach_payment", { purchaseId, paymentIntentId })
  expect(await kept()).toBe(2)
  // Neither told again nor told more.
  await db.call("stripe.attach_payment", { purchaseId, paymentIntentId })
  await send(db, paymentIntent(purchase, "succeeded"))
  expect(await kept()).toBe(2)
})

test("refuses a second PaymentIntent for one purchase (CR305)", async () => {
  const { purchaseId, paymentIntentId } = await begin(db)
  expect(await db.refused("stripe.attach_payment", { purchaseId, paymentIntentId: "pi_second" })).toEqual({
    sqlstate: "CR305",
    message: expect.any(String),
    detail: { purchaseId, paymentIntentId, checkoutSessionId: null }
  })
})

test("refuses a second Checkout Session for one purchase (CR305)", async () => {
  const { purchaseId, checkoutSessionId } = await begin(db, { checkout: true })
  const before = await db.books()
  await db.call("stripe.attach_payment", { purchaseId, checkoutSessionId })
  expect(await db.books()).toEqual(before)
  expect(await db.refused("stripe.attach_payment", { purchaseId, checkoutSessionId: "cs_second" })).toEqual({
    sqlstate: "CR305",
    message: expect.any(String),
    detail: { purchaseId, paymentIntentId: null, checkoutSessionId }
  })
})

test("refuses half a Checkout Session, and one for a purchase begun without (CR001)", async () => {
  const { purchaseId } = await begin(db, { attached: false, checkout: true })
  const { purchaseId: without } = await begin(db, { attached: false })
  const [checkoutSessionId, checkoutUrl] = ["cs_test_half", "https://checkout.test/pay"]
  const before = await db.books()
  for (const half of [
    { purchaseId, checkoutSessionId },
    { purchaseId, checkoutUrl },
    { purchaseId: without, checkoutSessionId, checkoutUrl }
  ]) {
    expect(await db.refused("stripe.attach_payment", half)).toEqual(invalid("checkoutUrl"))
  }
  expect(await db.books()).toEqual(before)
})

test("refuses a purchase that isn't there (CR303)", async () => {
  const attached = { purchaseId: nobodysId, paymentIntentId: "pi_nobodys" }
  expect(await db.refused("stripe.attach_payment", attached)).toEqual(noPurchase(nobodysId))
})
