import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { paymentIntent, send } from "../../support/stripe.ts"
import { badTexts, invalid, keyReused, noPackage, packageInactive, purchaseClosed } from "../../support/refusals.ts"

const db = await database()

const now = new Date("2026-03-01T12:00:00Z")
const buying = { packageId: "credits_500", livemode: false, now }
const urls = { successUrl: "https://app.test/done", cancelUrl: "https://app.test/back" }

test("writes a pending purchase with the package's price and credits", async () => {
  const userId = await db.userWith(0)
  const order = await db.call("stripe.begin_purchase", { userId, ...buying })
  expect(order).toEqual({
    purchaseId: expect.any(String),
    userId,
    packageId: "credits_500",
    stripePriceId: null,
    credits: 500,
    priceEuroCents: 500,
    livemode: false,
    status: "pending",
    successUrl: null,
    cancelUrl: null,
    customerId: null,
    customerSince: "2026-03-01T12:00:00.000Z",
    email: null,
    paymentIntentId: null,
    checkoutSessionId: null,
    checkoutUrl: null,
    createdAt: "2026-03-01T12:00:00.000Z"
  })
  expect(await db.call("credits.purchases", { userId })).toEqual([
    expect.objectContaining({ id: order.purchaseId, status: "pending", completedAt: null })
  ])
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 0, version: 0 })
})

test("keeps the URLs of a Checkout", async () => {
  const userId = await db.userWith(0)
  expect(await db.call("stripe.begin_purchase", { userId, ...buying, ...urls })).toMatchObject(urls)
})

test("repeated under its key, is the same purchase, with what Stripe was asked for since", async () => {
  const userId = await db.userWith(0)
  const keyed = { userId, ...buying, idempotencyKey: "k" }
  const first = await db.call("stripe.begin_purchase", keyed)
  expect(await db.call("stripe.begin_purchase", keyed)).toEqual({ ...first, replayed: true })
  const attached = { purchaseId: first.purchaseId, paymentIntentId: "pi_repeated" }
  await db.call("stripe.attach_payment", attached)
  expect(await db.call("stripe.begin_purchase", keyed)).toEqual({
    ...first,
    paymentIntentId: "pi_repeated",
    replayed: true
  })
})

test("with one key at once 20 times, is one purchase", async () => {
  const userId = await db.userWith(0)
  const keyed = { userId, ...buying, idempotencyKey: "k" }
  const orders = await Promise.all(Array.from({ length: 20 }, () => db.call("stripe.begin_purchase", keyed)))
  expect(new Set(orders.map((order) => order.purchaseId)).size).toBe(1)
})

test("without a key every call is a purchase", async () => {
  const userId = await db.userWith(0)
  const first = await db.call("stripe.begin_purchase", { userId, ...buying })
  const second = await db.call("stripe.begin_purchase", { userId, ...buying })
  expect(second.purchaseId).not.toBe(first.purchaseId)
})

test.each([{ packageId: "credits_100" }, { livemode: true }, urls])(
  "refuses a key used for another purchase: %o (CR003)",
  async (change) => {
    const userId = await db.userWith(0)
    const keyed = { userId, ...buying, idempotencyKey: "k" }
    await db.call("stripe.begin_purchase", keyed)
    expect(await db.refused("stripe.begin_purchase", { ...keyed, ...change })).toEqual(keyReused("k"))
  }
)

test("refuses to start a purchase under its key a day later, when Stripe has forgotten it (CR304)", async () => {
  const userId = await db.userWith(0)
  const keyed = { userId, ...buying, idempotencyKey: "k" }
  const { purchaseId } = await db.call("stripe.begin_purchase", keyed)
  const [dayAfter, later] = [new Date("2026-03-02T08:00:00Z"), new Date("2026-03-02T08:00:00.001Z")]
  expect(await db.call("stripe.begin_purchase", { ...keyed, now: dayAfter })).toMatchObject({ replayed: true })
  expect(await db.refused("stripe.begin_purchase", { ...keyed, now: later })).toEqual(purchaseClosed(purchaseId))
})

test.each([
  { what: "PaymentIntent", among: {}, payment: { paymentIntentId: "pi_days_later" } },
  {
    what: "Checkout Session",
    among: urls,
    payment: { checkoutSessionId: "cs_days_later", checkoutUrl: "https://checkout.test/pay" }
  }
])("goes on under its key days later where Stripe knows its $what", async ({ among, payment }) => {
  const userId = await db.userWith(0)
  const keyed = { userId, ...buying, ...among, idempotencyKey: "k" }
  const { purchaseId } = await db.call("stripe.begin_purchase", keyed)
  await db.call("stripe.attach_payment", { purchaseId, ...payment })
  const later = { ...keyed, now: new Date("2026-03-08T12:00:00Z") }
  expect(await db.call("stripe.begin_purchase", later)).toMatchObject({ purchaseId, ...payment, replayed: true })
})

test("doesn't go on under its key once it was given up, whatever time the caller says it is (CR304)", async () => {
  const userId = await db.userWith(0)
  const keyed = { userId, ...buying, idempotencyKey: "k" }
  const { purchaseId } = await db.call("stripe.begin_purchase", keyed)
  await db.call("stripe.give_up_purchase", { purchaseId, now: new Date("2026-03-02T12:00:00Z") })
  expect(await db.refused("stripe.begin_purchase", keyed)).toEqual(purchaseClosed(purchaseId))
})

test("keeps an e-mail address until the customer is there", async () => {
  const userId = await db.userWith(0)
  const first = await db.call("stripe.begin_purchase", { userId, ...buying, email: "first@x.test" })
  expect(first).toMatchObject({ email: "first@x.test", customerId: null })
  // Whatever the token says by then, a second attempt sends what the first one sent.
  const second = await db.call("stripe.begin_purchase", { userId, ...buying, email: "second@x.test" })
  expect(second).toMatchObject({ email: "first@x.test" })
  expect(await db.call("stripe.attach_customer", { userId, livemode: false, customerId: "cus_1" })).toEqual({
    customerId: "cus_1"
  })
  expect(await db.call("stripe.begin_purchase", { userId, ...buying })).toMatchObject({
    email: null,
    customerId: "cus_1"
  })
})

test("names the customer of its mode", async () => {
  const userId = await db.userWith(0)
  const order = (livemode: boolean) => db.call("stripe.begin_purchase", { userId, ...buying, livemode })
  for (const livemode of [true, false]) {
    await order(livemode)
    const customerId = livemode ? "cus_in_live" : "cus_in_test"
    await db.call("stripe.attach_customer", { userId, livemode, customerId })
  }
  expect(await order(true)).toMatchObject({ livemode: true, customerId: "cus_in_live" })
  expect(await order(false)).toMatchObject({ livemode: false, customerId: "cus_in_test" })
})

test.each([
  { email: "a@b", kept: "a@b" },
  { email: `${"a".repeat(249)}@x.de`, kept: `${"a".repeat(249)}@x.de` },
  { email: "@b", kept: null },
  { email: `${"a".repeat(250)}@x.de`, kept: null }
])("keeps an address that Stripe takes: $email", async ({ email, kept }) => {
  const userId = await db.userWith(0)
  expect(await db.call("stripe.begin_purchase", { userId, ...buying, email })).toMatchObject({ email: kept })
})

test("refuses a package that isn't there (CR301)", async () => {
  expect(await db.refused("stripe.begin_purchase", { userId: "u", ...buying, packageId: "none" })).toEqual(
    noPackage("none")
  )
})

test("refuses a package that is no longer sold (CR302)", async () => {
  await db.rows(
    "ops.add_package",
    { id: "old", name: "Old", description: "Old", credits: 1, priceEuroCents: 50 },
    "mana_ops"
  )
  await db.rows("ops.retire_package", { id: "old" }, "mana_ops")
  expect(await db.refused("stripe.begin_purchase", { userId: "u", ...buying, packageId: "old" })).toEqual(
    packageInactive("old")
  )
})

test("refuses a mode that is neither (CR001)", async () => {
  const nowhere = { userId: "u", ...buying, livemode: null }
  expect(await db.refused("stripe.begin_purchase", nowhere)).toEqual(invalid("livemode"))
})

test("refuses one URL without the other (CR001)", async () => {
  const { successUrl, cancelUrl } = urls
  expect(await db.refused("stripe.begin_purchase", { userId: "u", ...buying, successUrl })).toEqual(
    invalid("cancelUrl")
  )
  expect(await db.refused("stripe.begin_purchase", { userId: "u", ...buying, cancelUrl })).toEqual(
    invalid("successUrl")
  )
})

test.each(badTexts(128))("refuses a user id that is $what (CR001)", async ({ text }) => {
  expect(await db.refused("stripe.begin_purchase", { ...buying, userId: text })).toEqual(invalid("userId"))
})

test("refuses more than 50 within an hour that nobody pays (CR308)", async () => {
  const userId = await db.userWith(0)
  const begin = (minutes: number, key?: string) => ({
    userId,
    ...buying,
    now: new Date(now.getTime() + minutes * 60_000),
    idempotencyKey: key
  })
  for (let n = 0; n < 50; n += 1) await db.call("stripe.begin_purchase", begin(n === 0 ? 0 : 20, `k${n}`))
  expect(await db.refused("stripe.begin_purchase", begin(30))).toEqual({
    sqlstate: "CR308",
    message: expect.any(String),
    detail: { retryAfterSeconds: 1800 }
  })
  // What was begun goes on.
  const order = await db.call("stripe.begin_purchase", begin(30, "k7"))
  expect(order).toMatchObject({ replayed: true })
  expect(await db.call("stripe.begin_purchase", begin(60))).toMatchObject({ status: "pending" })
  expect(await db.refused("stripe.begin_purchase", begin(61))).toMatchObject({ sqlstate: "CR308" })
  // One that is paid counts no longer.
  await send(
    db,
    paymentIntent({ ...order, paymentIntentId: "pi_k7", checkoutSessionId: "cs_k7", chargeId: "ch_k7" }, "succeeded")
  )
  expect(await db.call("stripe.begin_purchase", begin(61))).toMatchObject({ status: "pending" })
  // For a clock that is behind, 51 are within the hour: not the first of them has to leave it, but the second.
  expect(await db.refused("stripe.begin_purchase", begin(30))).toMatchObject({ detail: { retryAfterSeconds: 3000 } })
})
