import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { invalid } from "../../support/refusals.ts"
import { session } from "../../support/session.ts"

const db = await database()

const buying = { packageId: "credits_500", livemode: false }

test("one customer a user and mode: the first that was kept", async () => {
  const userId = await db.userWith(0)
  await db.call("stripe.begin_purchase", { userId, ...buying })
  const attach = (customerId: string) => db.call("stripe.attach_customer", { userId, livemode: false, customerId })
  const kept = await Promise.all([attach("cus_a"), attach("cus_b"), attach("cus_c")])
  expect(new Set(kept.map((each) => each.customerId)).size).toBe(1)
  await db.call("stripe.begin_purchase", { userId, ...buying, livemode: true })
  expect(await db.call("stripe.attach_customer", { userId, livemode: true, customerId: "cus_live" })).toEqual({
    customerId: "cus_live"
  })
})

test("each mode has its own, the other stays without", async () => {
  const userId = await db.userWith(0)
  await db.call("stripe.begin_purchase", { userId, ...buying })
  await db.call("stripe.begin_purchase", { userId, ...buying, livemode: true })
  const attach = (livemode: boolean, customerId: string) =>
    db.call("stripe.attach_customer", { userId, livemode, customerId })
  expect(await attach(true, "cus_in_live")).toEqual({ customerId: "cus_in_live" })
  expect(await attach(false, "cus_in_test")).toEqual({ customerId: "cus_in_test" })
})

test("waits for a purchase that is just being begun", async () => {
  const userId = await db.userWith(0)
  const [beginning, attaching] = [await session(db), await session(db)]
  await beginning.query("begin")
  await beginning.call("stripe.begin_purchase", { userId, ...buying })
  const attached = attaching.call("stripe.attach_customer", { userId, livemode: false, customerId: "cus_soon" })
  await attaching.waitsFor(beginning)
  await beginning.query("commit")
  expect(await attached).toEqual({ customerId: "cus_soon" })
})

test("refuses a user who has never begun a purchase (CR001)", async () => {
  const userId = await db.userWith(0)
  expect(await db.refused("stripe.attach_customer", { userId, livemode: false, customerId: "cus_1" })).toEqual(
    invalid("userId")
  )
})

test.each([null, "", "cus_", "customer", "cus_a b", "acus_1", `cus_${"x".repeat(251)}`])(
  "refuses %s as a customer (CR001)",
  async (customerId) => {
    expect(await db.refused("stripe.attach_customer", { userId: "u", livemode: false, customerId })).toEqual(
      invalid("customerId")
    )
  }
)
