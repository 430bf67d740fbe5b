import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { invalid, noPackage } from "../../support/refusals.ts"
import { session } from "../../support/session.ts"

const db = await database()

test("changes what is given and nothing else", async () => {
  const before = (await db.call("credits.packages", {})).at(-1)
  const change = {
    id: "credits_2500",
    credits: 2800,
    sortOrder: 5,
    stripePriceId: "price_123",
    metadata: { badge: "%" }
  }
  const [changed] = await db.rows("ops.change_package", change, "mana_ops")
  expect(changed).toMatchObject({ credits: 2800, price_euro_cents: 2500 })
  expect((await db.call("credits.packages", {}))[0]).toEqual({ ...before, ...change })
  await db.rows("ops.change_package", { id: "credits_2500" }, "mana_ops")
  expect((await db.call("credits.packages", {}))[0]).toEqual({ ...before, ...change })
  await db.rows("ops.change_package", { id: "credits_2500", stripePriceId: "" }, "mana_ops")
  expect((await db.call("credits.packages", {}))[0]).toEqual({ ...before, ...change, stripePriceId: null })
})

test("a purchase begun before keeps its price and credits, in Stripe too", async () => {
  const userId = await db.userWith(0)
  const moving = { id: "moving", name: "Moving", description: "Up and up", credits: 60, priceEuroCents: 50 }
  await db.rows("ops.add_package", moving, "mana_ops")
  const buying = { userId, packageId: "moving", livemode: false, idempotencyKey: "k" }
  const order = await db.call("stripe.begin_purchase", buying)
  const change = { id: "moving", credits: 1, priceEuroCents: 9900, stripePriceId: "price_other" }
  await db.rows("ops.change_package", change, "mana_ops")
  const purchase = { userId, purchaseId: order.purchaseId }
  expect(await db.call("credits.purchase", purchase)).toMatchObject({ credits: 60, priceEuroCents: 50 })
  expect(await db.call("stripe.begin_purchase", buying)).toEqual({ ...order, replayed: true })
})

test("two people change it at once: what each of them changed stays", async () => {
  const [ada, ben] = [await session(db, "mana_ops"), await session(db, "mana_ops")]
  await ada.query("begin")
  await ada.call("ops.change_package", { id: "credits_500", name: "Five hundred" })
  const changed = ben.call("ops.change_package", { id: "credits_500", description: "Enough for a while" })
  await ben.waitsFor(ada)
  await ada.query("commit")
  await changed
  const packages: ReadonlyArray<{ readonly id: string }> = await db.call("credits.packages", {})
  expect(packages.find(({ id }) => id === "credits_500")).toMatchObject({
    name: "Five hundred",
    description: "Enough for a while"
  })
})

test("refuses a package that isn't there (CR301)", async () => {
  expect(await db.refused("ops.change_package", { id: "none" }, "mana_ops")).toEqual(noPackage("none"))
})

test("refuses to make it what can't be sold (CR001)", async () => {
  const change = { id: "credits_100", credits: -1 }
  expect(await db.refused("ops.change_package", change, "mana_ops")).toEqual(invalid("credits"))
})
