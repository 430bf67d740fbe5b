import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { daysAfter, given } from "../../support/gifts.ts"
import { badTexts, invalid } from "../../support/refusals.ts"

const db = await database()

test("lists a user's gifts, newest first, each with its state", async () => {
  const userId = await db.userWith(100)
  const give = (more: object) => db.call("gifts.create", { userId, totalCredits: 10, ...more })
  const active = await give({ message: "Hello", targetEmail: "ben@example.org" })
  const redeemed = await give({})
  const cancelled = await give({})
  const expired = await give({ now: daysAfter(new Date(), -91) })
  await db.call("gifts.redeem", { userId: "reader", code: redeemed.code })
  await db.call("gifts.cancel", { userId, giftId: cancelled.id })
  await given(db, 5)

  const { gifts, next } = await db.call("gifts.created_by", { userId })
  expect(next).toBeNull()
  expect(gifts).toMatchObject([
    { id: expired.id, status: "expired", redeemed: false, closedAt: null },
    { id: cancelled.id, status: "cancelled", redeemed: false, closedAt: expect.any(String) },
    { id: redeemed.id, status: "redeemed", redeemed: true, closedAt: expect.any(String) },
    { id: active.id, status: "active", redeemed: false }
  ])
  const { newBalance: _, ...shown } = active
  expect(gifts[3]).toEqual(shown)
})

test("pages", async () => {
  const userId = await db.userWith(100)
  for (let index = 0; index < 5; index++) await db.call("gifts.create", { userId, totalCredits: 1 + index })
  const pages = []
  for (let before: string | undefined, more = true; more;) {
    const page = await db.call("gifts.created_by", { userId, limit: 2, before })
    pages.push(page.gifts.map((gift: { readonly totalCredits: number }) => gift.totalCredits))
    before = page.next
    more = page.next !== null
  }
  expect(pages).toEqual([[5, 4], [3, 2], [1]])
  expect(await db.call("gifts.created_by", { userId, limit: 5 })).toMatchObject({ next: null })
})

test("lists nothing for somebody who gave nothing, and writes nothing", async () => {
  const before = await db.books()
  expect(await db.call("gifts.created_by", { userId: "new" })).toEqual({ gifts: [], next: null })
  expect(await db.books()).toEqual(before)
})

test.each([
  { path: "limit", change: { limit: 0 } },
  { path: "limit", change: { limit: 201 } },
  ...badTexts(128).map(({ text }) => ({ path: "userId", change: { userId: text } }))
])("refuses a bad $path (CR001)", async ({ path, change }) => {
  expect(await db.refused("gifts.created_by", { userId: "new", ...change })).toEqual(invalid(path))
})
