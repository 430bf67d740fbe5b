import { expect, test } from "vitest"
import { afterDamage } from "../../support/damage.ts"
import { database } from "../../support/database.ts"
import { invalid } from "../../support/refusals.ts"

const db = await database()

const small = { id: "tiny", name: "Tiny", description: "Hardly any", credits: 60, priceEuroCents: 50 }

test("puts a package on sale, last in the list", async () => {
  const [added] = await db.rows("ops.add_package", { ...small, metadata: { badge: "new" } }, "mana_ops")
  expect(added).toMatchObject({ id: "tiny", active: true, sort_order: 50, metadata: { badge: "new" } })
  const packages = await db.call("credits.packages", {})
  expect(packages.at(-1)).toMatchObject({ id: "tiny", credits: 60, priceEuroCents: 50, metadata: { badge: "new" } })
})

test("the first of all is the tenth, so that others find room before it", async () => {
  const first = { text: "select sort_order from ops.add_package('tiny', 'Tiny', 'Hardly any', 60, 50)" }
  expect(await afterDamage(db, ["delete from credits.packages"], first)).toEqual([[{ sort_order: 10 }]])
})

test("or wherever it is told", async () => {
  await db.rows("ops.add_package", { ...small, id: "first", sortOrder: 5, stripePriceId: "price_123" }, "mana_ops")
  const [first] = await db.call("credits.packages", {})
  expect(first).toMatchObject({ id: "first", sortOrder: 5, stripePriceId: "price_123" })
})

test.each([
  { path: "id", change: { id: "No spaces" } },
  { path: "id", change: { id: "credits_100" } },
  { path: "name", change: { name: "" } },
  { path: "description", change: { description: null } },
  { path: "description", change: { description: "" } },
  { path: "credits", change: { credits: 0 } },
  { path: "priceEuroCents", change: { priceEuroCents: 49 } },
  { path: "priceEuroCents", change: { priceEuroCents: 100_000_000 } },
  { path: "stripePriceId", change: { stripePriceId: "prod_1" } },
  { path: "metadata", change: { metadata: [] } }
])("refuses to add $change (CR001)", async ({ path, change }) => {
  expect(await db.refused("ops.add_package", { ...small, id: "bad", ...change }, "mana_ops")).toEqual(invalid(path))
})

test("the service can't (42501)", async () => {
  expect(await db.refused("ops.add_package", small)).toMatchObject({ sqlstate: "42501" })
})
