import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { invalid, noPackage } from "../../support/refusals.ts"

const db = await database()

const small = { id: "tiny", name: "Tiny", description: "Hardly any", credits: 60, priceEuroCents: 50 }

const listed = async (): Promise<ReadonlyArray<{ id: string; credits: number; priceEuroCents: number }>> =>
  db.call("credits.packages", {})

test("the packages to begin with: a credit a cent, more of them for more", async () => {
  expect(await db.call("credits.packages", {}, "mana_readonly")).toEqual([
    {
      id: "credits_100",
      name: "100 credits",
      description: "To try it out",
      credits: 100,
      priceEuroCents: 100,
      stripePriceId: null,
      active: true,
      sortOrder: 10,
      metadata: null
    },
    expect.objectContaining({ id: "credits_500", credits: 500, priceEuroCents: 500 }),
    expect.objectContaining({ id: "credits_1000", credits: 1050, priceEuroCents: 1000 }),
    expect.objectContaining({ id: "credits_2500", credits: 2750, priceEuroCents: 2500 })
  ])
})

test("adds a package at the end, changes it, retires it and brings it back", async () => {
  const [added] = await db.rows("ops.add_package", { ...small, metadata: { badge: "new" } }, "mana_ops")
  expect(added).toMatchObject({ id: "tiny", active: true, sort_order: 50, metadata: { badge: "new" } })
  expect((await listed()).at(-1)).toMatchObject({ id: "tiny", credits: 60 })

  const change = { id: "tiny", credits: 70, sortOrder: 5, stripePriceId: "price_123" }
  await db.rows("ops.change_package", change, "mana_ops")
  expect((await listed())[0]).toMatchObject({
    id: "tiny",
    name: "Tiny",
    credits: 70,
    priceEuroCents: 50,
    stripePriceId: "price_123",
    metadata: { badge: "new" }
  })
  await db.rows("ops.change_package", { id: "tiny", stripePriceId: "" }, "mana_ops")
  expect((await listed())[0]).toMatchObject({ stripePriceId: null })

  await db.rows("ops.retire_package", { id: "tiny" }, "mana_ops")
  expect((await listed()).map(({ id }) => id)).not.toContain("tiny")
  await db.rows("ops.change_package", { id: "tiny", active: true }, "mana_ops")
  expect((await listed())[0]).toMatchObject({ id: "tiny" })
})

test("a purchase begun before keeps its price and credits", async () => {
  const userId = await db.userWith(0)
  await db.rows("ops.add_package", { ...small, id: "moving" }, "mana_ops")
  const order = await db.call("stripe.begin_purchase", { userId, packageId: "moving", livemode: false })
  await db.rows("ops.change_package", { id: "moving", credits: 1, priceEuroCents: 9900 }, "mana_ops")
  const purchase = { userId, purchaseId: order.purchaseId }
  expect(await db.call("credits.purchase", purchase)).toMatchObject({ credits: 60, priceEuroCents: 50 })
})

test.each([
  { path: "id", change: { id: "No spaces" } },
  { path: "id", change: { id: "credits_100" } },
  { path: "name", change: { name: "" } },
  { path: "description", change: { description: null } },
  { path: "credits", change: { credits: 0 } },
  { path: "priceEuroCents", change: { priceEuroCents: 49 } },
  { path: "priceEuroCents", change: { priceEuroCents: 100_000_000 } },
  { path: "stripePriceId", change: { stripePriceId: "prod_1" } },
  { path: "metadata", change: { metadata: [] } }
])("refuses to add $change (CR001)", async ({ path, change }) => {
  expect(await db.refused("ops.add_package", { ...small, id: "bad", ...change }, "mana_ops")).toEqual(invalid(path))
})

test("refuses to change a package that isn't there (CR301) or into one that can't be sold (CR001)", async () => {
  expect(await db.refused("ops.change_package", { id: "none" }, "mana_ops")).toEqual(noPackage("none"))
  expect(await db.refused("ops.retire_package", { id: "none" }, "mana_ops")).toEqual(noPackage("none"))
  expect(await db.refused("ops.change_package", { id: "credits_100", credits: -1 }, "mana_ops")).toEqual(
    invalid("credits")
  )
})

test("the service can't change what is for sale", async () => {
  expect(await db.refused("ops.add_package", small)).toMatchObject({ sqlstate: "42501" })
})
