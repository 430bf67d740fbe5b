import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { given, noGift } from "../../support/gifts.ts"
import { badTexts, invalid, nobodysId } from "../../support/refusals.ts"
import { unindexed } from "../../support/session.ts"

const db = await database()

test("lists what a user redeemed, newest first", async () => {
  const first = await given(db, 10, { message: "One", creatorName: "Ann" })
  const second = await given(db, 20)
  await given(db, 30)
  for (const { gift } of [second, first]) await db.call("gifts.redeem", { userId: "reader", code: gift.code })
  expect(await db.call("gifts.received_by", { userId: "reader" })).toEqual({
    gifts: [
      {
        id: first.gift.id,
        code: first.gift.code,
        credits: 10,
        message: "One",
        creatorName: "Ann",
        redeemedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
      },
      expect.objectContaining({ id: second.gift.id, credits: 20, message: null, creatorName: null })
    ],
    next: null
  })
})

test("pages", async () => {
  const userId = await db.userWith(0)
  for (let credits = 1; credits <= 5; credits++) {
    await db.call("gifts.redeem", { userId, code: (await given(db, credits)).gift.code })
  }
  const pages = []
  for (let before: string | undefined, more = true; more;) {
    const page = await db.call("gifts.received_by", { userId, limit: 2, before })
    pages.push(page.gifts.map((gift: { readonly credits: number }) => gift.credits))
    before = page.next
    more = page.next !== null
  }
  expect(pages).toEqual([[5, 4], [3, 2], [1]])
  expect(await db.call("gifts.received_by", { userId, limit: 5 })).toMatchObject({ next: null })
})

test("is in the order in which they arrived, however the rows are found", async () => {
  const userId = await db.userWith(0)
  const made = [await given(db, 1), await given(db, 2), await given(db, 3), await given(db, 4)]
  for (const index of [1, 3, 0, 2]) await db.call("gifts.redeem", { userId, code: made[index]?.gift.code })
  const reader = await unindexed(db)
  // Merged by the gifts' ids, if by anything.
  await reader.query("set enable_hashjoin = off")
  await reader.query("set enable_nestloop = off")
  expect(await reader.call("gifts.received_by", { userId, limit: 3 })).toMatchObject({
    gifts: [{ credits: 3 }, { credits: 1 }, { credits: 4 }],
    next: made[3]?.gift.id
  })
})

test("lists nothing for somebody who got nothing", async () => {
  expect(await db.call("gifts.received_by", { userId: "new" })).toEqual({ gifts: [], next: null })
})

test("pages from nothing, and nothing of somebody else's (CR201)", async () => {
  const { gift } = await given(db, 10)
  await db.call("gifts.redeem", { userId: "reader", code: gift.code })
  for (const before of [nobodysId, gift.id]) {
    expect(await db.refused("gifts.received_by", { userId: "new", before })).toEqual(noGift(before))
  }
})

test.each([
  { path: "limit", change: { limit: 0 } },
  { path: "limit", change: { limit: 201 } },
  ...badTexts(128).map(({ text }) => ({ path: "userId", change: { userId: text } }))
])("refuses a bad $path (CR001)", async ({ path, change }) => {
  expect(await db.refused("gifts.received_by", { userId: "new", ...change })).toEqual(invalid(path))
})
