import { randomUUID } from "node:crypto"
import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import {
  daysAfter,
  events,
  given,
  giftExpired,
  giftNotActive,
  movements,
  nobodysCode,
  tooManyMisses,
  wrongRecipient
} from "../../support/gifts.ts"
import { badTexts, invalid, keyReused } from "../../support/refusals.ts"
import { holding, session } from "../../support/session.ts"
import { dispute, paid, send } from "../../support/stripe.ts"

const db = await database()
const somebody = () => `user-${randomUUID()}`

test("pays the whole gift to whoever has the code, and closes it", async () => {
  const { creatorId, gift } = await given(db, 30, { message: "For you", creatorName: "Ann" })
  const userId = await db.userWith(5)
  const answer = await db.call("gifts.redeem", { userId, code: gift.code, sourceAppId: "chat", caller: "user" })
  expect(answer).toEqual({
    found: true,
    giftId: gift.id,
    transactionId: expect.any(String),
    creditsReceived: 30,
    newBalance: 35,
    message: "For you",
    creatorName: "Ann"
  })
  expect(await movements(db, gift.id)).toEqual([
    { user_id: creatorId, amount: -30 },
    { user_id: userId, amount: 30 }
  ])
  expect(await db.query("select * from gifts.gift_redemptions where gift_id = $1", [gift.id])).toEqual([
    {
      gift_id: gift.id,
      user_id: userId,
      transaction_id: answer.transactionId,
      source_app_id: "chat",
      redeemed_at: expect.any(Date)
    }
  ])
  const [row] = await db.query("select app_id, caller from credits.transactions where id = $1", [answer.transactionId])
  expect(row).toEqual({ app_id: "chat", caller: "user" })
})

test("opens an account for somebody who has none, and leaves holds aside", async () => {
  const { gift } = await given(db, 30)
  expect(await db.call("gifts.redeem", { userId: somebody(), code: gift.code })).toMatchObject({ newBalance: 30 })

  const second = await given(db, 30)
  const userId = await db.userWith(50)
  await db.call("credits.reserve", { userId, amount: 40, reason: "a long call" })
  expect(await db.call("gifts.redeem", { userId, code: second.gift.code })).toMatchObject({ newBalance: 40 })
})

test("answers with what is left when a debt was paid of the gift", async () => {
  const purchase = await paid(db)
  const { userId } = purchase
  await db.call("credits.use", { userId, amount: 1050, appId: "chat", description: "Answers" })
  await send(db, dispute(purchase, "funds_withdrawn", { booked: [-1000] }))
  const { debt } = await db.call("credits.balance", { userId })
  expect(debt).toBe(1050)
  const first = await given(db, 1000)
  const second = await given(db, 80)
  const redeemed = [
    await db.call("gifts.redeem", { userId, code: first.gift.code }),
    await db.call("gifts.redeem", { userId, code: second.gift.code })
  ]
  expect(redeemed).toMatchObject([
    { creditsReceived: 1000, newBalance: 0 },
    { creditsReceived: 80, newBalance: 30 }
  ])
})

test("tells both sides, neither who the other is", async () => {
  const { creatorId, gift } = await given(db, 30, {
    message: "For you",
    creatorName: "Ann",
    targetEmail: "b@example.org"
  })
  const userId = somebody()
  const { transactionId } = await db.call("gifts.redeem", { userId, code: gift.code, email: "b@example.org" })
  const toCreator = await events(db, creatorId)
  const toRedeemer = await events(db, userId)
  expect(toCreator.at(-1)).toEqual({
    type: "gift.redeemed",
    data: { giftId: gift.id, side: "creator", credits: 30 }
  })
  expect(toRedeemer).toEqual([
    {
      type: "gift.redeemed",
      data: { giftId: gift.id, side: "redeemer", credits: 30, creatorName: "Ann", message: "For you", transactionId }
    }
  ])
})

test("lets the giver redeem a gift of their own", async () => {
  const { creatorId, gift } = await given(db, 30)
  expect(await db.call("gifts.redeem", { userId: creatorId, code: gift.code })).toMatchObject({ newBalance: 30 })
})

test("waits for nobody when the gift isn't for who asks (CR204)", async () => {
  const { creatorId, gift } = await given(db, 10, { targetEmail: "ben@example.org" })
  await holding(db, "select from credits.balances where user_id = $1 for update", [creatorId])
  expect(await db.refused("gifts.redeem", { userId: somebody(), code: gift.code })).toEqual(wrongRecipient)
})

test("takes the balances of both sides before the gift", async () => {
  const { creatorId, gift } = await given(db, 30)
  const holder = await holding(db, "select from credits.balances where user_id = $1 for update", [creatorId])
  const a = await session(db)
  const redeemed = a.call("gifts.redeem", { userId: somebody(), code: gift.code })
  await a.waitsFor(holder)
  await db.query("select from gifts.gift_codes where id = $1 for update nowait", [gift.id])
  await holder.release()
  expect(await redeemed).toMatchObject({ creditsReceived: 30 })
})

test("works once, for the same person too (CR202)", async () => {
  const { gift } = await given(db, 30)
  const userId = somebody()
  await db.call("gifts.redeem", { userId, code: gift.code })
  for (const each of [userId, somebody()]) {
    expect(await db.refused("gifts.redeem", { userId: each, code: gift.code })).toEqual(giftNotActive("redeemed"))
  }
})

test("gives a replay the first answer, also when the gift is long taken", async () => {
  const { gift } = await given(db, 30)
  const request = { userId: somebody(), code: gift.code, sourceAppId: "chat", idempotencyKey: "k" }
  const first = await db.call("gifts.redeem", request)
  const before = await db.books()
  expect(await db.call("gifts.redeem", { ...request, code: gift.code.toLowerCase() })).toEqual({
    ...first,
    replayed: true
  })
  expect(await db.books()).toEqual(before)
})

test("refuses a key for another gift or app (CR003)", async () => {
  const { gift } = await given(db, 30)
  const other = await given(db, 30)
  const request = { userId: somebody(), code: gift.code, idempotencyKey: "k" }
  await db.call("gifts.redeem", request)
  expect(await db.refused("gifts.redeem", { ...request, code: other.gift.code })).toEqual(keyReused("k"))
  expect(await db.refused("gifts.redeem", { ...request, sourceAppId: "chat" })).toEqual(keyReused("k"))
})

test("doesn't burn the key of a refused call or a miss", async () => {
  const { gift } = await given(db, 30, { targetEmail: "ben@example.org" })
  const request = { userId: somebody(), code: gift.code, idempotencyKey: "k" }
  expect(await db.call("gifts.redeem", { ...request, code: nobodysCode })).toEqual({ found: false })
  expect(await db.refused("gifts.redeem", request)).toEqual(wrongRecipient)
  const answer = await db.call("gifts.redeem", { ...request, email: "ben@example.org" })
  expect(answer.replayed).toBeUndefined()
})

test.each([
  { what: "the address", email: "ben@example.org", emailVerified: true },
  { what: "the address in other letters and with blanks", email: " BEN@Example.org\n", emailVerified: true },
  { what: "an address of which nobody said whether it is verified", email: "ben@example.org", emailVerified: null }
])("pays a personalized gift to $what", async ({ email, emailVerified }) => {
  const { gift } = await given(db, 30, { targetEmail: "Ben@Example.org" })
  const answer = await db.call("gifts.redeem", { userId: somebody(), code: gift.code, email, emailVerified })
  expect(answer).toMatchObject({ creditsReceived: 30 })
})

test("pays a simple gift to whoever has the code, whatever their address is", async () => {
  for (const emailVerified of [true, false, null]) {
    const { gift } = await given(db, 30)
    const request = { userId: somebody(), code: gift.code, email: "ben@example.org", emailVerified }
    expect(await db.call("gifts.redeem", request)).toMatchObject({ creditsReceived: 30 })
  }
})

test.each([
  { what: "no address", email: null, emailVerified: null },
  { what: "an empty address", email: "", emailVerified: true },
  { what: "another address", email: "bert@example.org", emailVerified: true },
  { what: "the address, marked unverified", email: "ben@example.org", emailVerified: false }
])("keeps a personalized gift from $what (CR204)", async ({ email, emailVerified }) => {
  const { gift } = await given(db, 30, { targetEmail: "ben@example.org" })
  const request = { userId: somebody(), code: gift.code, email, emailVerified }
  expect(await db.refused("gifts.redeem", request)).toEqual(wrongRecipient)
  expect((await db.call("gifts.look_up", { code: gift.code })).gift.status).toBe("active")
})

test("keeps a personalized gift from its giver (CR204)", async () => {
  const { creatorId, gift } = await given(db, 30, { targetEmail: "ben@example.org" })
  const request = { userId: creatorId, code: gift.code, email: "ann@example.org", emailVerified: true }
  expect(await db.refused("gifts.redeem", request)).toEqual(wrongRecipient)
})

test("pays no cancelled gift (CR202) and no expired one, swept or not (CR203)", async () => {
  const cancelled = await given(db, 30)
  await db.call("gifts.cancel", { userId: cancelled.creatorId, giftId: cancelled.gift.id })
  expect(await db.refused("gifts.redeem", { userId: somebody(), code: cancelled.gift.code })).toEqual(
    giftNotActive("cancelled")
  )

  const { gift } = await given(db, 30)
  const now = daysAfter(gift.createdAt, 90)
  const request = { userId: somebody(), code: gift.code, now }
  expect(await db.refused("gifts.redeem", request)).toEqual(giftExpired(gift.expiresAt))
  await db.call("gifts.expire", { now })
  expect(await db.refused("gifts.redeem", request)).toEqual(giftExpired(gift.expiresAt))
})

test("has 10 misses a minute for each user, then refuses hits too (CR205)", async () => {
  const { gift } = await given(db, 30)
  const userId = somebody()
  const start = new Date("2026-06-01T12:00:00Z")
  const at = (seconds: number) => ({ userId, now: new Date(start.getTime() + seconds * 1000) })
  for (let second = 0; second < 10; second++) {
    expect(await db.call("gifts.redeem", { code: nobodysCode, ...at(second) })).toEqual({ found: false })
  }
  expect(await db.refused("gifts.redeem", { code: gift.code, ...at(10) })).toEqual(tooManyMisses(50))
  expect(await db.call("gifts.redeem", { code: gift.code, ...at(60) })).toMatchObject({ found: true })
})

test("counts no gift that somebody else took, or that isn't theirs, as a miss", async () => {
  const taken = await given(db, 1)
  await db.call("gifts.redeem", { userId: somebody(), code: taken.gift.code })
  const personal = await given(db, 1, { targetEmail: "ben@example.org" })
  const userId = somebody()
  for (let round = 0; round < 6; round++) {
    expect(await db.refused("gifts.redeem", { userId, code: taken.gift.code })).toEqual(giftNotActive("redeemed"))
    expect(await db.refused("gifts.redeem", { userId, code: personal.gift.code })).toEqual(wrongRecipient)
  }
  const { gift } = await given(db, 30)
  expect(await db.call("gifts.redeem", { userId, code: gift.code })).toMatchObject({ found: true })
})

test("makes no account for somebody who only guesses", async () => {
  const userId = somebody()
  await db.call("gifts.redeem", { userId, code: nobodysCode })
  expect(await db.balanceRow(userId)).toBeUndefined()
})

test.each([
  { path: "sourceAppId", change: { sourceAppId: "" } },
  { path: "sourceAppId", change: { sourceAppId: "x".repeat(65) } },
  { path: "idempotencyKey", change: { idempotencyKey: "" } },
  ...badTexts(128).map(({ text }) => ({ path: "userId", change: { userId: text } }))
])("refuses a bad $path (CR001)", async ({ path, change }) => {
  const { gift } = await given(db, 1)
  const request = { userId: somebody(), code: gift.code, ...change }
  expect(await db.refused("gifts.redeem", request)).toEqual(invalid(path))
})
