import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { daysAfter, events, given, giftExpired, giftNotActive, movements, noGift } from "../../support/gifts.ts"
import { nobodysId } from "../../support/refusals.ts"
import { holding, session } from "../../support/session.ts"

const db = await database()

test("returns the credits to who gave them", async () => {
  const { creatorId, gift } = await given(db, 30)
  expect(await db.call("gifts.cancel", { userId: creatorId, giftId: gift.id })).toEqual({
    giftId: gift.id,
    refundedCredits: 30,
    newBalance: 30
  })
  expect(await movements(db, gift.id)).toEqual([
    { user_id: creatorId, amount: -30 },
    { user_id: creatorId, amount: 30 }
  ])
  expect((await events(db, creatorId)).at(-1)).toEqual({
    type: "gift.cancelled",
    data: { giftId: gift.id, credits: 30, transactionId: expect.any(String) }
  })
})

test("ties the ledger row to the one it takes back", async () => {
  const { creatorId, gift } = await given(db, 30)
  await db.call("gifts.cancel", { userId: creatorId, giftId: gift.id })
  const [paid, returned] = await db.query(
    "select id, related_transaction_id from credits.transactions where user_id = $1 and type = 'gift' order by seq",
    [creatorId]
  )
  expect(returned.related_transaction_id).toBe(paid.id)
})

test("works once (CR202)", async () => {
  const { creatorId, gift } = await given(db, 30)
  const request = { userId: creatorId, giftId: gift.id }
  await db.call("gifts.cancel", request)
  expect(await db.refused("gifts.cancel", request)).toEqual(giftNotActive("cancelled"))
})

test("takes back no gift that somebody has (CR202)", async () => {
  const { creatorId, gift } = await given(db, 30)
  await db.call("gifts.redeem", { userId: "reader", code: gift.code })
  expect(await db.refused("gifts.cancel", { userId: creatorId, giftId: gift.id })).toEqual(giftNotActive("redeemed"))
})

test("leaves an expired gift to expiry (CR203)", async () => {
  const { creatorId, gift } = await given(db, 30)
  const request = { userId: creatorId, giftId: gift.id, now: daysAfter(gift.createdAt, 90) }
  expect(await db.refused("gifts.cancel", request)).toEqual(giftExpired(gift.expiresAt))
})

test("knows nobody else's gift (CR201)", async () => {
  const { gift } = await given(db, 30)
  const other = await given(db, 20)
  for (const request of [
    { userId: "somebody else", giftId: gift.id },
    { userId: other.creatorId, giftId: gift.id },
    { userId: other.creatorId, giftId: nobodysId },
    { userId: "somebody else", giftId: nobodysId }
  ]) {
    expect(await db.refused("gifts.cancel", request)).toEqual(noGift(request.giftId))
  }
})

test("takes the balance before the gift", async () => {
  const { creatorId, gift } = await given(db, 30)
  const holder = await holding(db, "select from credits.balances where user_id = $1 for update", [creatorId])
  const a = await session(db)
  const cancelled = a.call("gifts.cancel", { userId: creatorId, giftId: gift.id })
  await a.waitsFor(holder)
  await db.query("select from gifts.gift_codes where id = $1 for update nowait", [gift.id])
  await holder.release()
  expect(await cancelled).toMatchObject({ refundedCredits: 30 })
})
