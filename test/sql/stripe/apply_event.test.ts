import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { invalid } from "../../support/refusals.ts"
import { session } from "../../support/session.ts"
import {
  begin,
  chargeRefunded,
  checkoutSession,
  dispute,
  outbox,
  paid,
  paymentIntent,
  refund,
  send,
  standing
} from "../../support/stripe.ts"

const db = await database()

const spend = (userId: string, amount: number) =>
  db.call("credits.use", { userId, amount, appId: "chat", description: "Answers" })

// The package of these tests: 1,050 credits for 1,000 euro cents.

test("credits a purchase when its PaymentIntent succeeds", async () => {
  const purchase = await begin(db)
  expect(await send(db, paymentIntent(purchase, "succeeded"))).toEqual({
    eventId: expect.any(String),
    outcome: "applied",
    reason: null,
    purchaseId: purchase.purchaseId,
    duplicate: false
  })
  expect(await standing(db, purchase)).toEqual({ status: "completed", creditsKept: 1050, balance: 1050, debt: 0 })
  const rows = await db.query(
    "select type, amount, counter_account, description, metadata, caller from credits.transactions where user_id = $1",
    [purchase.userId]
  )
  expect(rows).toEqual([
    {
      type: "purchase",
      amount: 1050,
      counter_account: "stripe",
      description: "1,050 credits",
      metadata: { purchaseId: purchase.purchaseId, packageId: "credits_1000" },
      caller: "stripe"
    }
  ])
  expect(await outbox(db, purchase.userId)).toEqual(["purchase.completed"])
})

test("doesn't keep what the buyer could be impersonated with", async () => {
  const purchase = await begin(db)
  const event = paymentIntent(purchase, "succeeded", { fields: { client_secret: "pi_secret" } })
  await send(db, event)
  const [stored] = await db.query("select payload from credits.stripe_events where id = $1", [event.id])
  const { client_secret: _, ...object } = event.data.object
  expect(stored.payload).toEqual({ ...event, data: { object } })
})

test("nor what an object within it would say of that", async () => {
  const purchase = await begin(db, { checkout: true })
  const event = checkoutSession(purchase, "completed", {
    fields: { payment_intent: { id: "pi_within", object: "payment_intent", client_secret: "pi_within_secret" } }
  })
  await send(db, event)
  const [stored] = await db.query("select payload::text from credits.stripe_events where id = $1", [event.id])
  expect(stored.payload).toContain("pi_within")
  expect(stored.payload).not.toContain("secret")
})

test("keeps an event whose payment is of no kind that we know", async () => {
  const purchase = await begin(db)
  const event = paymentIntent(purchase, "succeeded", { fields: { payment_intent: [] } })
  expect(await send(db, event)).toMatchObject({ duplicate: false })
})

test("credits once, however often and under however many event ids it is told", async () => {
  const purchase = await begin(db, { checkout: true })
  const succeeded = paymentIntent(purchase, "succeeded")
  await send(db, succeeded)
  expect(await send(db, succeeded)).toMatchObject({ outcome: "applied", duplicate: true })
  await send(db, paymentIntent(purchase, "succeeded"), checkoutSession(purchase, "completed"))
  expect(await standing(db, purchase)).toMatchObject({ balance: 1050 })
})

test("credits once when the same event comes 50 times at once", async () => {
  const purchase = await begin(db)
  const succeeded = paymentIntent(purchase, "succeeded")
  const answers = await Promise.all(
    Array.from({ length: 50 }, () => db.call("stripe.apply_event", { event: succeeded }))
  )
  expect(answers.filter((answer) => answer.duplicate === false)).toHaveLength(1)
  expect(answers.every((answer) => answer.outcome === "applied")).toBe(true)
  expect(await standing(db, purchase)).toMatchObject({ status: "completed", balance: 1050 })
})

test("a kept event told twice at once is applied by one, who may be waiting for the balance, and then told twice", async () => {
  const purchase = await begin(db, { attached: false })
  const { userId, purchaseId, paymentIntentId } = purchase
  const event = paymentIntent(purchase, "succeeded", { fields: { metadata: {} } })
  expect(await send(db, event)).toMatchObject({ outcome: "kept" })
  await db.query("update credits.purchases set payment_intent_id = $2 where id = $1", [purchaseId, paymentIntentId])
  const [holder, first, second] = [await session(db), await session(db), await session(db)]
  await holder.query("begin")
  await holder.call("credits.grant", { userId, amount: 1, reason: "test", referenceId: "meanwhile" })
  const one = first.call("stripe.apply_event", { event })
  await first.waitsFor(holder)
  const two = second.call("stripe.apply_event", { event })
  await second.waitsFor(first)
  await holder.query("commit")
  expect(await one).toMatchObject({ outcome: "applied", duplicate: false })
  expect(await two).toMatchObject({ outcome: "applied", duplicate: true })
  expect(await standing(db, purchase)).toMatchObject({ status: "completed", balance: 1051 })
})

test("credits once when 50 different events say so at once", async () => {
  const purchase = await begin(db, { checkout: true })
  const events = Array.from({ length: 50 }, (_, index) =>
    index % 2 === 0 ? paymentIntent(purchase, "succeeded") : checkoutSession(purchase, "completed")
  )
  await Promise.all(events.map((event) => db.call("stripe.apply_event", { event })))
  expect(await standing(db, purchase)).toMatchObject({ status: "completed", balance: 1050 })
  expect(await outbox(db, purchase.userId)).toEqual(["purchase.completed"])
})

test("finds the purchase by its metadata before Stripe's answer has been kept", async () => {
  const purchase = await begin(db, { attached: false })
  await send(db, paymentIntent(purchase, "succeeded"))
  expect(await standing(db, purchase)).toMatchObject({ status: "completed", balance: 1050 })
  const order = { purchaseId: purchase.purchaseId, paymentIntentId: purchase.paymentIntentId }
  expect(await db.call("stripe.attach_payment", order)).toMatchObject({ status: "completed" })
})

test("goes by the PaymentIntent that was kept, whatever the metadata says", async () => {
  const [purchase, other] = [await begin(db), await begin(db)]
  const metadata = { purchaseId: other.purchaseId, userId: other.userId }
  await send(db, paymentIntent(purchase, "succeeded", { fields: { metadata } }))
  expect(await standing(db, purchase)).toMatchObject({ status: "completed", balance: 1050 })
  expect(await standing(db, other)).toMatchObject({ status: "pending", balance: 0 })
})

test("a Checkout paid at once", async () => {
  const purchase = await begin(db, { checkout: true })
  await send(db, checkoutSession(purchase, "completed"))
  expect(await standing(db, purchase)).toMatchObject({ status: "completed", balance: 1050 })
})

test("knows a Checkout Session by its id alone", async () => {
  const purchase = await begin(db, { checkout: true })
  // Nothing else has that id.
  const other = { ...purchase, chargeId: purchase.checkoutSessionId, paymentIntentId: "pi_other_payment" }
  expect(await send(db, chargeRefunded(other, 1000))).toMatchObject({ reason: "purchase_unknown" })
  await send(db, checkoutSession(purchase, "completed", { fields: { metadata: {}, client_reference_id: null } }))
  expect(await standing(db, purchase)).toMatchObject({ status: "completed", balance: 1050 })
})

test("SEPA: nothing while it is processing, then all of it", async () => {
  const purchase = await begin(db, { checkout: true })
  await send(
    db,
    checkoutSession(purchase, "completed", { fields: { payment_status: "unpaid" } }),
    paymentIntent(purchase, "processing")
  )
  expect(await standing(db, purchase)).toEqual({ status: "pending", creditsKept: 0, balance: 0, debt: 0 })
  await send(db, checkoutSession(purchase, "async_payment_succeeded"))
  expect(await standing(db, purchase)).toMatchObject({ status: "completed", balance: 1050 })
})

test("SEPA: a debit that bounced", async () => {
  const purchase = await begin(db, { checkout: true })
  await send(
    db,
    checkoutSession(purchase, "completed", { at: 0, fields: { payment_status: "unpaid" } }),
    checkoutSession(purchase, "async_payment_failed", { at: 90 })
  )
  expect(await standing(db, purchase)).toMatchObject({ status: "failed", balance: 0 })
  expect(await outbox(db, purchase.userId)).toEqual(["purchase.failed"])
})

test.each([
  { what: "in order", order: [0, 1, 2] },
  { what: "the last one first", order: [2, 1, 0] },
  { what: "the middle one last", order: [0, 2, 1] }
])("an attempt between two of the other kind is forgotten over the last one, told $what", async ({ order }) => {
  for (const [outer, inner, status] of [
    ["processing", "payment_failed", "pending"],
    ["payment_failed", "processing", "failed"]
  ] as const) {
    const purchase = await begin(db)
    const events = [outer, inner, outer].map((what, n) => paymentIntent(purchase, what, { at: 10 * n }))
    for (const n of order) for (const event of events.slice(n, n + 1)) await send(db, event)
    expect(await standing(db, purchase)).toMatchObject({ status })
  }
})

test("tells once that a purchase failed, until it is under way again", async () => {
  const purchase = await begin(db)
  const failures = ["payment_failed", "payment_failed", "processing", "payment_failed", "canceled"]
  for (const [n, what] of failures.entries()) await send(db, paymentIntent(purchase, what, { at: 10 * n }))
  expect(await standing(db, purchase)).toMatchObject({ status: "cancelled" })
  expect(await outbox(db, purchase.userId)).toEqual(["purchase.failed", "purchase.failed"])
})

test("a card refused in Checkout, then a SEPA debit under way there", async () => {
  const purchase = await begin(db, { checkout: true })
  await send(db, paymentIntent(purchase, "payment_failed", { at: 10 }))
  expect(await standing(db, purchase)).toMatchObject({ status: "failed" })
  await send(db, checkoutSession(purchase, "completed", { at: 20, fields: { payment_status: "unpaid" } }))
  expect(await standing(db, purchase)).toMatchObject({ status: "pending" })
})

test.each([
  [0, 10],
  [10, 0]
])("was paid when that was first said, and cancelled when last: at %i and %i", async (first, second) => {
  const at = async (what: "succeeded" | "canceled") => {
    const purchase = await begin(db)
    await send(db, paymentIntent(purchase, what, { at: first }), paymentIntent(purchase, what, { at: second }))
    const [row] = await db.query("select paid_at, cancelled_at from credits.purchases where id = $1", [
      purchase.purchaseId
    ])
    return row
  }
  const march = (seconds: number) => new Date(Date.UTC(2026, 2, 1, 12, 0, seconds))
  expect(await at("succeeded")).toMatchObject({ paid_at: march(0) })
  expect(await at("canceled")).toMatchObject({ cancelled_at: march(10) })
})

test("a failed attempt, then another under way, then paid", async () => {
  const purchase = await begin(db)
  await send(db, paymentIntent(purchase, "payment_failed", { at: 10 }))
  expect(await standing(db, purchase)).toMatchObject({ status: "failed" })
  await send(db, paymentIntent(purchase, "processing", { at: 20 }))
  expect(await standing(db, purchase)).toMatchObject({ status: "pending" })
  await send(db, paymentIntent(purchase, "succeeded", { at: 30 }))
  expect(await standing(db, purchase)).toMatchObject({ status: "completed", balance: 1050 })
})

test.each(["payment_failed", "canceled", "processing"])("a late %s never undoes a paid purchase", async (what) => {
  const purchase = await paid(db)
  expect(await send(db, paymentIntent(purchase, what, { at: 60 }))).toMatchObject({ outcome: "applied" })
  expect(await standing(db, purchase)).toMatchObject({ status: "completed", balance: 1050 })
  expect(await outbox(db, purchase.userId)).toEqual(["purchase.completed"])
})

test.each([
  { what: "cancelled", event: "payment" },
  { what: "expired", event: "session" }
])("a payment that was $what, and came in all the same", async ({ event }) => {
  const purchase = await begin(db, { checkout: true })
  await send(db, event === "payment" ? paymentIntent(purchase, "canceled") : checkoutSession(purchase, "expired"))
  expect(await standing(db, purchase)).toMatchObject({ status: "cancelled", balance: 0 })
  await send(db, paymentIntent(purchase, "succeeded"))
  expect(await standing(db, purchase)).toMatchObject({ status: "completed", balance: 1050 })
  expect(await outbox(db, purchase.userId)).toEqual(["purchase.failed", "purchase.completed"])
})

test("refunds in parts take back what is not covered, rounded to the person's favour, each part once", async () => {
  const purchase = await paid(db)
  // 333 of 1,000 cents away: 667 / 1000 * 1050 = 700.35 credits stay, rounded up.
  await send(db, refund(purchase, "created", { refundId: "re_1", amount: 333 }), chargeRefunded(purchase, 333))
  expect(await standing(db, purchase)).toEqual({ status: "completed", creditsKept: 701, balance: 701, debt: 0 })
  await send(db, chargeRefunded(purchase, 666), refund(purchase, "created", { refundId: "re_2", amount: 333 }))
  expect(await standing(db, purchase)).toMatchObject({ creditsKept: 351, balance: 351 })
  await send(db, refund(purchase, "created", { refundId: "re_3", amount: 334 }), chargeRefunded(purchase, 1000))
  expect(await standing(db, purchase)).toEqual({ status: "refunded", creditsKept: 0, balance: 0, debt: 0 })
  expect(await outbox(db, purchase.userId)).toEqual([
    "purchase.completed",
    "purchase.refunded",
    "purchase.refunded",
    "purchase.refunded"
  ])
})

test("a refund that is told before its payment is no refund of a purchase yet", async () => {
  const purchase = await begin(db)
  await send(db, refund(purchase, "created", { refundId: "re_early", amount: 1000 }), chargeRefunded(purchase, 1000))
  expect(await standing(db, purchase)).toEqual({ status: "pending", creditsKept: 0, balance: 0, debt: 0 })
  await send(db, paymentIntent(purchase, "succeeded"))
  expect(await standing(db, purchase)).toEqual({ status: "refunded", creditsKept: 0, balance: 0, debt: 0 })
})

test("a refund that failed is given back", async () => {
  const purchase = await paid(db)
  const first = { refundId: "re_f", amount: 400 }
  await send(db, refund(purchase, "created", { ...first, status: "pending" }), chargeRefunded(purchase, 400))
  expect(await standing(db, purchase)).toMatchObject({ balance: 630 })
  await send(db, refund(purchase, "failed", first))
  expect(await standing(db, purchase)).toMatchObject({ status: "completed", creditsKept: 1050, balance: 1050 })
  // What Stripe says late of a refund that failed changes nothing, and another one counts in full.
  await send(db, refund(purchase, "updated", first), refund(purchase, "created", { refundId: "re_g", amount: 1000 }))
  expect(await standing(db, purchase)).toMatchObject({ status: "refunded", balance: 0 })
})

test("a refund that failed after its credits had been spent cancels the debt", async () => {
  const purchase = await paid(db)
  await spend(purchase.userId, 1000)
  await send(db, refund(purchase, "created", { refundId: "re_f", amount: 1000 }))
  expect(await standing(db, purchase)).toEqual({ status: "refunded", creditsKept: 0, balance: 0, debt: 1000 })
  await send(db, refund(purchase, "failed", { refundId: "re_f", amount: 1000 }))
  expect(await standing(db, purchase)).toEqual({ status: "completed", creditsKept: 1050, balance: 50, debt: 0 })
})

test("a refund that failed after all of its credits had been spent cancels the debt and moves nothing", async () => {
  const purchase = await paid(db)
  await spend(purchase.userId, 1050)
  await send(db, refund(purchase, "created", { refundId: "re_f", amount: 1000 }))
  expect(await standing(db, purchase)).toEqual({ status: "refunded", creditsKept: 0, balance: 0, debt: 1050 })
  const before = await db.balanceRow(purchase.userId)
  expect(await send(db, refund(purchase, "failed", { refundId: "re_f", amount: 1000 }))).toMatchObject({
    outcome: "applied"
  })
  expect(await standing(db, purchase)).toEqual({ status: "completed", creditsKept: 1050, balance: 0, debt: 0 })
  expect(await db.balanceRow(purchase.userId)).toMatchObject({ version: before.version })
})

test("a dispute takes the credits when the money is withdrawn, not when it is opened", async () => {
  const purchase = await paid(db)
  await send(db, dispute(purchase, "created"))
  expect(await standing(db, purchase)).toMatchObject({ status: "completed", balance: 1050 })
  await send(db, dispute(purchase, "funds_withdrawn", { booked: [-1000] }))
  expect(await standing(db, purchase)).toMatchObject({ status: "refunded", balance: 0, debt: 0 })
  await send(db, dispute(purchase, "closed", { status: "lost", booked: [-1000] }))
  expect(await standing(db, purchase)).toMatchObject({ status: "refunded", balance: 0, debt: 0 })
  expect(await outbox(db, purchase.userId)).toEqual([
    "purchase.completed",
    "purchase.disputed",
    "purchase.disputed",
    "purchase.disputed"
  ])
})

test("a lost dispute takes the credits even if nobody told of the withdrawal", async () => {
  const purchase = await paid(db)
  await send(db, dispute(purchase, "closed", { status: "lost" }))
  expect(await standing(db, purchase)).toMatchObject({ status: "refunded", balance: 0 })
})

test.each(["warning_closed", "prevented"])("an inquiry moves nothing, and ends as closed: %s", async (status) => {
  const purchase = await paid(db)
  const { userId, purchaseId } = purchase
  const shown = () => db.call("credits.purchase", { userId, purchaseId })
  await send(db, dispute(purchase, "created", { status: "warning_needs_response" }))
  expect(await shown()).toMatchObject({ dispute: "open" })
  await send(db, dispute(purchase, "closed", { status }))
  expect(await shown()).toMatchObject({ dispute: "closed", disputedEuroCents: 0 })
  expect(await standing(db, purchase)).toMatchObject({ status: "completed", balance: 1050 })
})

test("a won dispute returns exactly what was taken", async () => {
  const purchase = await paid(db)
  await send(db, dispute(purchase, "funds_withdrawn"), dispute(purchase, "closed", { status: "won" }))
  expect(await standing(db, purchase)).toEqual({ status: "completed", creditsKept: 1050, balance: 1050, debt: 0 })
  await send(db, dispute(purchase, "funds_reinstated", { status: "won", booked: [-1000, 1000] }))
  expect(await standing(db, purchase)).toMatchObject({ balance: 1050 })
})

test("a dispute that Stripe booked in another currency counts by what is disputed", async () => {
  const purchase = await paid(db)
  const booked = [-1100, 300].map((amount) => ({ amount, currency: "usd" }))
  await send(db, dispute(purchase, "closed", { status: "lost", fields: { balance_transactions: booked } }))
  expect(await standing(db, purchase)).toMatchObject({ status: "refunded", creditsKept: 0, balance: 0 })
})

test("a dispute whose money came back before it was decided", async () => {
  const purchase = await paid(db)
  await send(db, dispute(purchase, "funds_withdrawn"))
  expect(await standing(db, purchase)).toMatchObject({ balance: 0 })
  await send(db, dispute(purchase, "funds_reinstated", { status: "under_review" }))
  expect(await standing(db, purchase)).toEqual({ status: "completed", creditsKept: 1050, balance: 1050, debt: 0 })
})

test.each([
  { what: "in order", order: [0, 1] },
  { what: "backwards", order: [1, 0] }
])("a dispute of which more was withdrawn later, told $what", async ({ order }) => {
  const purchase = await paid(db)
  const events = [
    dispute(purchase, "funds_withdrawn", { amount: 300, booked: [-300] }),
    dispute(purchase, "updated", { amount: 500, booked: [-500] })
  ]
  for (const n of order) await send(db, ...events.slice(n, n + 1))
  expect(await standing(db, purchase)).toMatchObject({ creditsKept: 525, balance: 525 })
})

test("a dispute won is won, whatever is told of it afterwards", async () => {
  const purchase = await paid(db)
  const { userId, purchaseId } = purchase
  const told: Array<unknown> = []
  for (const status of ["lost", "won", "lost", "under_review"]) {
    await send(db, dispute(purchase, "closed", { status, booked: [-1000, 1000] }))
    told.push((await db.call("credits.purchase", { userId, purchaseId })).dispute)
  }
  expect(told).toEqual(["lost", "won", "won", "won"])
})

test("another payment of the same person stands for itself", async () => {
  const first = await paid(db)
  const second = await paid(db, {}, first.userId)
  await send(
    db,
    refund(first, "created", { refundId: "re_of_first", amount: 300 }),
    dispute(first, "funds_withdrawn", { amount: 500 }),
    // Nothing new, and reason enough to look at what stands.
    chargeRefunded(second, 100)
  )
  expect(await standing(db, first)).toMatchObject({ status: "completed", creditsKept: 210 })
  expect(await standing(db, second)).toMatchObject({ status: "completed", creditsKept: 945, balance: 1155 })
})

test("a dispute lost, appealed and won, then lost for good", async () => {
  const purchase = await paid(db)
  await send(
    db,
    dispute(purchase, "funds_withdrawn", { booked: [-1000] }),
    dispute(purchase, "closed", { status: "lost", booked: [-1000] }),
    dispute(purchase, "updated", { status: "appeal_under_review", booked: [-1000] })
  )
  expect(await standing(db, purchase)).toMatchObject({ balance: 0 })
  await send(db, dispute(purchase, "closed", { status: "won", booked: [-1000, 1000] }))
  expect(await standing(db, purchase)).toMatchObject({ balance: 1050 })
  await send(db, dispute(purchase, "funds_withdrawn", { status: "lost", booked: [-1000, 1000, -1000] }))
  expect(await standing(db, purchase)).toMatchObject({ balance: 0 })
})

test("a refund and then a dispute never take more than was bought", async () => {
  const purchase = await paid(db)
  await db.call("credits.grant", { userId: purchase.userId, amount: 500, reason: "test", referenceId: "own" })
  await send(
    db,
    refund(purchase, "created", { refundId: "re_1", amount: 600 }),
    dispute(purchase, "funds_withdrawn", { amount: 1000 }),
    dispute(purchase, "closed", { status: "lost", amount: 1000 })
  )
  expect(await standing(db, purchase)).toEqual({ status: "refunded", creditsKept: 0, balance: 500, debt: 0 })
})

test("a dispute after a refund, won: what the refund took stays taken", async () => {
  const purchase = await paid(db)
  await send(
    db,
    refund(purchase, "created", { refundId: "re_1", amount: 600 }),
    dispute(purchase, "funds_withdrawn", { amount: 400 }),
    dispute(purchase, "closed", { status: "won", amount: 400 })
  )
  expect(await standing(db, purchase)).toEqual({ status: "completed", creditsKept: 420, balance: 420, debt: 0 })
})

test("a dispute of which Stripe gave a part back for a refund", async () => {
  const purchase = await paid(db)
  await send(
    db,
    dispute(purchase, "closed", { status: "lost", booked: [-1000] }),
    dispute(purchase, "funds_reinstated", { status: "lost", booked: [-1000, 300] })
  )
  expect(await standing(db, purchase)).toMatchObject({ status: "completed", creditsKept: 315, balance: 315 })
})

test("a dispute won after the credits were spent and the debt was partly paid", async () => {
  const purchase = await paid(db)
  await spend(purchase.userId, 1000)
  await send(db, dispute(purchase, "funds_withdrawn"))
  expect(await standing(db, purchase)).toEqual({ status: "refunded", creditsKept: 0, balance: 0, debt: 1000 })
  const grant = { userId: purchase.userId, amount: 300, reason: "test", referenceId: "partly" }
  expect(await db.call("credits.grant", grant)).toMatchObject({ newBalance: 0 })
  expect(await standing(db, purchase)).toMatchObject({ balance: 0, debt: 700 })
  await send(db, dispute(purchase, "closed", { status: "won" }))
  // 50 taken at once and 300 out of the grant come back; the other 700 were never taken.
  expect(await standing(db, purchase)).toEqual({ status: "completed", creditsKept: 1050, balance: 350, debt: 0 })
})

test("a dispute about nothing, which Stripe may open, moves nothing", async () => {
  const purchase = await paid(db)
  const nothing = dispute(purchase, "funds_withdrawn", { amount: 0, status: "lost" })
  expect(await send(db, nothing)).toMatchObject({ outcome: "applied" })
  expect(await standing(db, purchase)).toMatchObject({ status: "completed", balance: 1050 })
})

test("two disputes of one payment count once each", async () => {
  const purchase = await paid(db)
  await send(
    db,
    dispute(purchase, "funds_withdrawn", { disputeId: "du_a", amount: 300 }),
    dispute(purchase, "funds_withdrawn", { disputeId: "du_b", amount: 300 }),
    dispute(purchase, "closed", { disputeId: "du_a", amount: 300, status: "won" })
  )
  expect(await standing(db, purchase)).toMatchObject({ creditsKept: 735, balance: 735 })
})

test("doesn't know a purchase by what isn't an id of ours", async () => {
  const purchase = await begin(db, { attached: false })
  const metadata = { purchaseId: "somebody else's order 7" }
  expect(await send(db, paymentIntent(purchase, "succeeded", { fields: { metadata } }))).toMatchObject({
    outcome: "kept",
    reason: "purchase_unknown"
  })
})

test("keeps a refund of a PaymentIntent it doesn't know, and applies it once it does", async () => {
  const purchase = await begin(db, { checkout: true })
  expect(await send(db, chargeRefunded(purchase, 1000))).toMatchObject({
    outcome: "kept",
    reason: "purchase_unknown",
    purchaseId: null
  })
  await send(db, paymentIntent(purchase, "succeeded"))
  expect(await standing(db, purchase)).toMatchObject({ status: "refunded", balance: 0 })
  expect(await db.rows("ops.kept_events", {}, "mana_readonly")).not.toContainEqual(
    expect.objectContaining({ payment_intent_id: purchase.paymentIntentId })
  )
})

test.each([
  { what: "another mode", reason: "livemode_mismatch", change: { livemode: true } },
  { what: "another version of the API", reason: "api_version_mismatch", change: { apiVersion: "2019-01-01" } },
  { what: "another currency", reason: "currency_mismatch", change: { fields: { currency: "usd" } } },
  { what: "no currency", reason: "currency_mismatch", change: { fields: { currency: null } } },
  { what: "no amount", reason: "amount_mismatch", change: { fields: { amount: null } } },
  {
    what: "nothing said of what was received",
    reason: "amount_mismatch",
    change: { fields: { amount_received: null } }
  },
  { what: "another amount", reason: "amount_mismatch", change: { fields: { amount: 1 } } },
  { what: "less received than due", reason: "amount_mismatch", change: { fields: { amount_received: 999 } } },
  { what: "another PaymentIntent", reason: "payment_intent_mismatch", change: { fields: { id: "pi_other" } } },
  { what: "nothing that can be read", reason: "error", change: { fields: { amount: "a lot" } } }
])("keeps an event with $what ($reason) and credits nothing", async ({ reason, change }) => {
  const purchase = await begin(db)
  const event = paymentIntent(purchase, "succeeded", change)
  expect(await send(db, event)).toMatchObject({ outcome: "kept", reason })
  expect(await standing(db, purchase)).toEqual({ status: "pending", creditsKept: 0, balance: 0, debt: 0 })
  expect(await db.rows("ops.kept_events", {}, "mana_ops")).toContainEqual(
    expect.objectContaining({ event_id: event.id, reason, attempts: 1 })
  )
  expect(await send(db, event)).toMatchObject({ outcome: "kept", duplicate: false })
})

test("keeps a report that doesn't say how much it is about, and moves nothing", async () => {
  const purchase = await paid(db)
  const silent = { fields: { amount: null } }
  for (const event of [
    chargeRefunded(purchase, 1000, silent),
    refund(purchase, "created", { refundId: "re_silent", amount: 1000, ...silent }),
    dispute(purchase, "funds_withdrawn", silent)
  ]) {
    expect(await send(db, event)).toMatchObject({ outcome: "kept", reason: "amount_mismatch" })
  }
  expect(await standing(db, purchase)).toEqual({ status: "completed", creditsKept: 1050, balance: 1050, debt: 0 })
})

test("what may work in a moment is for the caller to try again, and nothing is kept of it (55P03)", async () => {
  const purchase = await begin(db)
  const event = paymentIntent(purchase, "succeeded")
  const [holder, impatient] = [await session(db), await session(db)]
  await holder.query("begin")
  await holder.call("credits.grant", { userId: purchase.userId, amount: 1, reason: "test", referenceId: "meanwhile" })
  await impatient.query("set lock_timeout = '50ms'")
  expect(await impatient.call("stripe.apply_event", { event })).toMatchObject({ sqlstate: "55P03" })
  await holder.query("commit")
  expect(await db.query("select from credits.stripe_events where id = $1", [event.id])).toEqual([])
  expect(await impatient.call("stripe.apply_event", { event })).toMatchObject({ outcome: "applied" })
})

test("keeps a Checkout that was paid otherwise than with our price", async () => {
  const purchase = await begin(db, { checkout: true })
  const free = { fields: { payment_status: "no_payment_required" } }
  expect(await send(db, checkoutSession(purchase, "completed", free))).toMatchObject({ reason: "amount_mismatch" })
  const silent = { fields: { amount_total: null } }
  expect(await send(db, checkoutSession(purchase, "completed", silent))).toMatchObject({ reason: "amount_mismatch" })
  const dearer = { fields: { amount_total: 2000 } }
  expect(await send(db, checkoutSession(purchase, "completed", dearer))).toMatchObject({ reason: "amount_mismatch" })
  expect(await standing(db, purchase)).toMatchObject({ status: "pending", balance: 0 })
})

test("keeps an event about payments that it doesn't understand, ignores what isn't about payments", async () => {
  const purchase = await begin(db)
  const event = paymentIntent(purchase, "succeeded")
  expect(await send(db, { ...event, id: "evt_new", type: "payment_intent.teleported" })).toMatchObject({
    outcome: "kept",
    reason: "type_unknown"
  })
  expect(await send(db, { ...event, id: "evt_customer", type: "customer.created" })).toMatchObject({
    outcome: "ignored"
  })
  expect(await send(db, { ...event, id: "evt_step", type: "payment_intent.created" })).toMatchObject({
    outcome: "ignored"
  })
  expect(await standing(db, purchase)).toMatchObject({ status: "pending", balance: 0 })
})

test("keeps an event of no version at all, as Stripe sends them to who has set none", async () => {
  const purchase = await begin(db)
  const event = { ...paymentIntent(purchase, "succeeded"), api_version: null }
  expect(await db.call("stripe.apply_event", { event })).toMatchObject({ reason: "api_version_mismatch" })
  expect(await standing(db, purchase)).toMatchObject({ status: "pending", balance: 0 })
})

test("takes an event in a version it understands in place of the one it kept", async () => {
  const purchase = await begin(db)
  const id = "evt_versions"
  await send(db, paymentIntent(purchase, "succeeded", { id, apiVersion: "2019-01-01" }))
  expect(await send(db, paymentIntent(purchase, "succeeded", { id }))).toMatchObject({ outcome: "applied" })
  expect(await standing(db, purchase)).toMatchObject({ status: "completed", balance: 1050 })
})

test.each([
  { what: "id", event: { type: "t", created: 1, livemode: false } },
  { what: "type", event: { id: "evt", created: 1, livemode: false } },
  { what: "created", event: { id: "evt", type: "t", created: "now", livemode: false } },
  { what: "created", event: { id: "evt", type: "t", livemode: false, data: { object: {} } } },
  { what: "created", event: { id: "evt", type: "t", created: -1, livemode: false, data: { object: {} } } },
  { what: "created", event: { id: "evt", type: "t", created: 253402300800, livemode: false, data: { object: {} } } },
  { what: "livemode", event: { id: "evt", type: "t", created: 1 } },
  { what: "data", event: { id: "evt", type: "t", created: 1, livemode: false } },
  { what: "data", event: { id: "evt", type: "t", created: 1, livemode: false, data: { object: null } } },
  { what: "data", event: { id: "evt", type: "t", created: 1, livemode: false, data: { object: [[]] } } },
  { what: "data", event: { id: "evt", type: "t", created: 1, livemode: false, data: [1] } },
  { what: "id", event: { id: "e".repeat(256), type: "t", created: 1, livemode: false } },
  { what: "type", event: { id: "evt", type: "t".repeat(256), created: 1, livemode: false } },
  { what: "id", event: true },
  { what: "id", event: [7] }
])("refuses what isn't an event: its $what (CR001)", async ({ what, event }) => {
  expect(await db.refused("stripe.apply_event", { event })).toEqual(invalid(`event.${what}`))
})
