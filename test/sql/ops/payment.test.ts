import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import {
  begin,
  chargeRefunded,
  checkoutSession,
  dispute,
  paid,
  paymentIntent,
  refund,
  send
} from "../../support/stripe.ts"

const db = await database()

test("everything about one payment, by whatever id is at hand", async () => {
  const purchase = await begin(db, { checkout: true })
  const event = paymentIntent(purchase, "succeeded")
  await send(db, event)
  await db.call("credits.use", { userId: purchase.userId, amount: 1000, appId: "chat", description: "Answers" })
  await send(
    db,
    refund(purchase, "created", { refundId: "re_all", amount: 100 }),
    dispute(purchase, "funds_withdrawn", { disputeId: "du_all", amount: 900 })
  )
  const { userId, purchaseId } = purchase
  await db.call("credits.grant", { userId, amount: 100, reason: "test", referenceId: "a" })

  const rows = await db.rows("ops.payment", { id: purchaseId }, "mana_readonly")
  expect(rows.map((row) => row.what).toSorted()).toEqual([
    ...["debt", "debt", "debt", "dispute", "event", "event", "event"],
    ...["ledger", "ledger", "ledger", "purchase", "refund"]
  ])
  expect(rows.find((row) => row.what === "purchase")).toMatchObject({
    id: purchaseId,
    summary: `refunded: 1050 credits for 1000 euro cents by ${userId}, 0 kept`
  })
  const ids = [purchase.paymentIntentId, purchase.checkoutSessionId, "re_all", "du_all", event.id]
  for (const id of ids) expect(await db.rows("ops.payment", { id }, "mana_ops")).toEqual(rows)
  expect(await db.rows("ops.payment", { id: "nothing" }, "mana_ops")).toEqual([])
})

test("nothing of the same person's other payment", async () => {
  const first = await paid(db)
  const second = await paid(db, {}, first.userId)
  const { userId } = first
  await db.call("credits.use", { userId, amount: 2 * first.credits, appId: "chat", description: "Answers" })
  for (const [n, purchase] of [first, second].entries()) {
    const { purchaseId } = purchase
    await send(
      db,
      refund(purchase, "created", { refundId: `re_${n}`, amount: 100 }),
      dispute(purchase, "funds_withdrawn", { disputeId: `du_${n}`, amount: 100 })
    )
    const signed = { purchaseId, who: "ada", why: "goodwill", amountEuroCents: 100 }
    await db.rows("ops.refund_purchase", signed, "mana_ops")
  }
  await db.call("credits.grant", { userId, amount: 300, reason: "test", referenceId: "a" })
  for (const { purchaseId } of [first, second]) {
    const rows = await db.rows("ops.payment", { id: purchaseId }, "mana_ops")
    const whose: ReadonlyArray<string> = rows
      .filter(({ what }) => ["debt", "dispute", "refund", "refund request"].includes(what))
      .map(({ detail }) => detail.purchase_id)
    expect(new Set(whose)).toEqual(new Set([purchaseId]))
    expect(rows.filter(({ what }) => what === "event")).toHaveLength(3)
    expect(rows.filter(({ what }) => what === "purchase")).toHaveLength(1)
  }
})

test("a refund that failed, an inquiry still open, and an event that names its purchase alone", async () => {
  const purchase = await begin(db, { checkout: true })
  const { purchaseId } = purchase
  const expired = checkoutSession(purchase, "expired")
  await send(
    db,
    expired,
    paymentIntent(purchase, "succeeded"),
    refund(purchase, "failed", { refundId: "re_failed", amount: 100 }),
    dispute(purchase, "created", { disputeId: "du_open", amount: 100, status: "warning_needs_response" })
  )
  const rows = await db.rows("ops.payment", { id: purchaseId }, "mana_ops")
  const shown = rows.map((row) => `${row.what} ${row.id}: ${row.summary}`)
  expect(shown).toContain("refund re_failed: 100 euro cents, failed")
  expect(shown).toContain("dispute du_open: open: 100 euro cents, 0 withdrawn, 0 reinstated")
  expect(shown).toContain(`event ${expired.id}: checkout.session.expired, applied`)
})

test("what Stripe says of a payment that we know nothing else about, and what we didn't understand", async () => {
  const purchase = await begin(db)
  const { purchaseId, paymentIntentId } = purchase
  const early = chargeRefunded({ ...purchase, paymentIntentId: "pi_unheard_of" }, 500)
  const strange = { ...paymentIntent(purchase, "succeeded"), type: "payment_intent.teleported" }
  const aside = { ...early, id: "evt_aside", type: "customer.created", data: { object: { id: "cus_1" } } }
  await send(db, early, strange, aside)
  const shown = async (id: string) =>
    (await db.rows("ops.payment", { id }, "mana_ops")).map((row) => `${row.what} ${row.id}: ${row.summary}`)
  expect(await shown("pi_unheard_of")).toEqual([`event ${early.id}: charge.refunded, purchase_unknown`])
  expect(await shown("evt_aside")).toEqual(["event evt_aside: customer.created, ignored"])
  const event = `event ${strange.id}: payment_intent.teleported, type_unknown`
  expect(await shown(purchaseId)).toContain(event)
  expect(await shown(paymentIntentId)).toContain(event)
})
