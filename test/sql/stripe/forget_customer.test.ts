import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { invalid } from "../../support/refusals.ts"
import { session } from "../../support/session.ts"

const db = await database()

const now = new Date("2026-03-01T12:00:00Z")
const later = new Date("2026-03-02T12:00:00Z")

test("forgets a customer once; another one takes its place", async () => {
  const userId = await db.userWith(0)
  const whose = { userId, livemode: false }
  await db.call("stripe.begin_purchase", { ...whose, packageId: "credits_500", now })
  await db.call("stripe.attach_customer", { ...whose, customerId: "cus_deleted" })
  const forget = { ...whose, customerId: "cus_deleted", now: later }
  const forgotten = { customerId: null, customerSince: "2026-03-02T12:00:00.000Z" }
  expect(await db.call("stripe.forget_customer", forget)).toEqual(forgotten)
  expect(await db.call("stripe.forget_customer", { ...forget, now: new Date() })).toEqual(forgotten)
  await db.call("stripe.attach_customer", { ...whose, customerId: "cus_next" })
  expect(await db.call("stripe.forget_customer", forget)).toEqual({ ...forgotten, customerId: "cus_next" })
})

test("forgets the customer of one mode and keeps the other's", async () => {
  const userId = await db.userWith(0)
  for (const livemode of [false, true]) {
    await db.call("stripe.begin_purchase", { userId, livemode, packageId: "credits_500", now })
    await db.call("stripe.attach_customer", { userId, livemode, customerId: livemode ? "cus_there" : "cus_here" })
  }
  const forget = (livemode: boolean, customerId: string) =>
    db.call("stripe.forget_customer", { userId, livemode, customerId, now: later })
  expect(await forget(true, "cus_other")).toEqual({ customerId: "cus_there", customerSince: now.toISOString() })
  expect(await forget(false, "cus_here")).toEqual({ customerId: null, customerSince: later.toISOString() })
  expect(
    await db.query("select livemode, customer_id from credits.stripe_customers where user_id = $1 order by 1", [userId])
  ).toEqual([
    { livemode: false, customer_id: null },
    { livemode: true, customer_id: "cus_there" }
  ])
})

test("waits for a purchase that is just being begun", async () => {
  const userId = await db.userWith(0)
  const whose = { userId, livemode: false }
  const [beginning, forgetting] = [await session(db), await session(db)]
  await beginning.query("begin")
  await beginning.call("stripe.begin_purchase", { ...whose, packageId: "credits_500", now })
  const forgotten = forgetting.call("stripe.forget_customer", { ...whose, customerId: "cus_1", now: later })
  await forgetting.waitsFor(beginning)
  await beginning.query("commit")
  expect(await forgotten).toEqual({ customerId: null, customerSince: now.toISOString() })
})

test("forgets nobody else's customer", async () => {
  const [userId, other] = [await db.userWith(0), await db.userWith(0)]
  for (const [whose, customerId] of [
    [userId, "cus_own"],
    [other, "cus_of_other"]
  ]) {
    await db.call("stripe.begin_purchase", { userId: whose, livemode: false, packageId: "credits_500", now })
    await db.call("stripe.attach_customer", { userId: whose, livemode: false, customerId })
  }
  const forget = { userId, livemode: false, customerId: "cus_of_other", now: later }
  expect(await db.call("stripe.forget_customer", forget)).toMatchObject({ customerId: "cus_own" })
  expect(await db.query("select customer_id from credits.stripe_customers where user_id = $1", [other])).toEqual([
    { customer_id: "cus_of_other" }
  ])
})

test("refuses a user who has never begun a purchase, and no customer (CR001)", async () => {
  const userId = await db.userWith(0)
  const forget = { userId, livemode: false, customerId: "cus_1" }
  expect(await db.refused("stripe.forget_customer", forget)).toEqual(invalid("userId"))
  expect(await db.refused("stripe.forget_customer", { ...forget, customerId: "" })).toEqual(invalid("customerId"))
})
