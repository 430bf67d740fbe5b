import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { badTexts, invalid } from "../../support/refusals.ts"
import { begin } from "../../support/stripe.ts"

const db = await database()

test("a user's purchases, newest first, nobody else's", async () => {
  const first = await begin(db)
  const second = await begin(db, { packageId: "credits_100" }, first.userId)
  await begin(db)
  const all = await db.call("credits.purchases", { userId: first.userId })
  expect(all.map((each: { id: string }) => each.id)).toEqual([second.purchaseId, first.purchaseId])
  expect(await db.call("credits.purchases", { userId: first.userId, limit: 1 })).toEqual(all.slice(0, 1))
  expect(await db.call("credits.purchases", { userId: "nobody" })).toEqual([])
})

test.each([0, 201, null])("refuses a limit of %s (CR001)", async (limit) => {
  expect(await db.refused("credits.purchases", { userId: "u", limit })).toEqual(invalid("limit"))
})

test.each(badTexts(128))("refuses a user id that is $what (CR001)", async ({ text }) => {
  expect(await db.refused("credits.purchases", { userId: text })).toEqual(invalid("userId"))
})
