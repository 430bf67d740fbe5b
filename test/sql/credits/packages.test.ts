import { expect, test } from "vitest"
import { database } from "../../support/database.ts"

const db = await database()

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

test("only what is sold, in order", async () => {
  await db.rows("ops.retire_package", { id: "credits_100" }, "mana_ops")
  await db.rows("ops.change_package", { id: "credits_2500", sortOrder: 1 }, "mana_ops")
  const packages: ReadonlyArray<{ id: string }> = await db.call("credits.packages", {})
  expect(packages.map(({ id }) => id)).toEqual(["credits_2500", "credits_500", "credits_1000"])
})

test("an empty list when nothing is sold", async () => {
  for (const id of ["credits_500", "credits_1000", "credits_2500"]) {
    await db.rows("ops.retire_package", { id }, "mana_ops")
  }
  expect(await db.call("credits.packages", {})).toEqual([])
})
