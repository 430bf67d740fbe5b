import { randomUUID } from "node:crypto"
import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { daysAfter, events, given } from "../../support/gifts.ts"
import { badTexts, invalid } from "../../support/refusals.ts"
import { holding, session, unindexed, warningsOf } from "../../support/session.ts"

const db = await database()
const somebody = () => ({ userId: `user-${randomUUID()}`, email: `${randomUUID()}@example.org` })
const nothing = { redeemed: 0, totalCredits: 0, failed: 0, more: false }

const givenTo = async (email: string, ...amounts: ReadonlyArray<number>) =>
  Promise.all(amounts.map((amount) => given(db, amount, { targetEmail: email })))

test("redeems every open gift for the address, and no other", async () => {
  const ben = somebody()
  const [, , cancelled, redeemed] = await givenTo(ben.email, 10, 20, 30, 40)
  await db.call("gifts.cancel", { userId: cancelled?.creatorId, giftId: cancelled?.gift.id })
  await db.call("gifts.redeem", { userId: "another account", email: ben.email, code: redeemed?.gift.code })
  const expired = await given(db, 50, { targetEmail: ben.email, now: daysAfter(new Date(), -91) })
  await givenTo(somebody().email, 60)
  await given(db, 70)

  expect(await db.call("gifts.redeem_pending", { ...ben, email: ` ${ben.email.toUpperCase()} ` })).toEqual({
    ...nothing,
    redeemed: 2,
    totalCredits: 30
  })
  expect(await db.balanceRow(ben.userId)).toMatchObject({ balance: 30, version: 2 })
  expect((await db.call("gifts.look_up", { code: expired.gift.code })).gift.status).toBe("expired")
  expect((await events(db, ben.userId)).map(({ type }) => type)).toEqual(["gift.redeemed", "gift.redeemed"])
})

test("finds nothing the second time, and writes nothing where there is nothing", async () => {
  const ben = somebody()
  await givenTo(ben.email, 10)
  expect(await db.call("gifts.redeem_pending", ben)).toMatchObject({ redeemed: 1 })
  const before = await db.books()
  expect(await db.call("gifts.redeem_pending", ben)).toEqual(nothing)
  expect(await db.call("gifts.redeem_pending", somebody())).toEqual(nothing)
  expect(await db.books()).toEqual(before)
})

test("redeems as many as it is allowed to, and says that there are more", async () => {
  const ben = somebody()
  await givenTo(ben.email, 1, 2, 3)
  const first = await db.call("gifts.redeem_pending", { ...ben, limit: 2 })
  const second = await db.call("gifts.redeem_pending", { ...ben, limit: 2 })
  expect([first, second]).toMatchObject([
    { redeemed: 2, more: true },
    { redeemed: 1, more: false }
  ])
  expect(first.totalCredits + second.totalCredits).toBe(6)
})

test("says that there are no more when there were as many as allowed", async () => {
  const ben = somebody()
  await givenTo(ben.email, 1, 2)
  expect(await db.call("gifts.redeem_pending", { ...ben, limit: 2 })).toMatchObject({ redeemed: 2, more: false })
})

test("takes the oldest first, one after the other", async () => {
  const ben = somebody()
  for (const amount of [1, 2, 3, 4]) await givenTo(ben.email, amount)
  // The oldest two lie last in the table.
  for (const amount of [2, 1]) {
    await db.query(
      `update gifts.gift_codes set expires_at = expires_at + interval '1 second'
       where target_email = $1 and total_credits = $2`,
      [ben.email, amount]
    )
  }
  const caller = await unindexed(db)
  expect(await caller.call("gifts.redeem_pending", { ...ben, limit: 3 })).toMatchObject({ totalCredits: 6, more: true })
  const rows = await db.query("select amount from credits.transactions where user_id = $1 order by seq", [ben.userId])
  expect(rows.map(({ amount }) => amount)).toEqual([1, 2, 3])
})

test("locks balances in order, whoever gave what first", async () => {
  const [reader = "", ...givers] = ["lock-1", "lock-2", "lock-3", "lock-4", "lock-5", "lock-6", "lock-7", "lock-8"]
  const email = "locks@example.org"
  for (const userId of givers.toReversed()) {
    await db.call("credits.grant", { userId, amount: 1, reason: "test", referenceId: "first" })
    await db.call("gifts.create", { userId, totalCredits: 1, targetEmail: email })
  }
  await db.call("credits.init", { userId: reader })
  const holder = await holding(db, "select from credits.balances where user_id = $1 for update", [reader])
  const a = await session(db)
  const redeemed = a.call("gifts.redeem_pending", { userId: reader, email })
  await a.waitsFor(holder)
  // It has none of the later ones yet.
  await db.query("select from credits.balances where user_id = any($1) for update nowait", [givers])
  await holder.release()
  expect(await redeemed).toMatchObject({ redeemed: 7 })
})

test("takes a gift until its expiry, and leaves it from then on", async () => {
  const ben = somebody()
  const { gift } = await given(db, 10, { targetEmail: ben.email })
  const at = (milliseconds: number) => new Date(new Date(gift.expiresAt).getTime() + milliseconds)
  expect(await db.call("gifts.redeem_pending", { ...ben, now: at(0) })).toEqual(nothing)
  expect(await db.call("gifts.redeem_pending", { ...ben, now: at(-1) })).toMatchObject({ redeemed: 1 })
})

test("waits for a cancel under way, and leaves what that took back", async () => {
  const ben = somebody()
  const [first] = await givenTo(ben.email, 10, 20)
  const [a, b] = [await session(db), await session(db)]
  await a.query("begin")
  await a.call("gifts.cancel", { userId: first?.creatorId, giftId: first?.gift.id })
  const redeemed = b.call("gifts.redeem_pending", ben)
  await b.waitsFor(a)
  await a.query("commit")
  expect(await redeemed).toEqual({ ...nothing, redeemed: 1, totalCredits: 20 })
})

test("holds the balances of all sides until it is over, and nobody else's", async () => {
  const ben = somebody()
  const gifts = await givenTo(ben.email, 1, 2, 3)
  const givers = gifts.map(({ creatorId }) => creatorId)
  const others = [await db.userWith(1), (await given(db, 1, { targetEmail: somebody().email })).creatorId]
  const a = await session(db)
  await a.query("begin")
  await a.call("gifts.redeem_pending", { ...ben, limit: 2 })
  const free = await db.query("select user_id from credits.balances where user_id = any($1) for update skip locked", [
    [...givers, ben.userId, ...others]
  ])
  const third = gifts.toSorted((x, y) => (x.gift.id < y.gift.id ? -1 : 1)).at(-1)?.creatorId
  expect(free.map(({ user_id }) => user_id).toSorted()).toEqual([third, ...others].toSorted())
  await a.query("commit")
})

test("ends as a whole when the trouble is the server's, not a gift's", async () => {
  const ben = somebody()
  const [, troubled] = await givenTo(ben.email, 10, 20)
  await db.query(`
    create function public.fail() returns trigger language plpgsql as $$
      begin raise 'no disk' using errcode = '53100'; end $$;
    create trigger troubled before insert on gifts.gift_redemptions
    for each row when (new.gift_id = '${troubled?.gift.id}') execute function public.fail()`)
  expect(await db.refused("gifts.redeem_pending", ben)).toMatchObject({ sqlstate: "53100" })
  await db.query("drop trigger troubled on gifts.gift_redemptions; drop function public.fail()")
  expect(await db.call("gifts.redeem_pending", ben)).toEqual({ ...nothing, redeemed: 2, totalCredits: 30 })
})

test("goes on after one that fails, which stays as it was", async () => {
  const ben = somebody()
  const [, poisoned] = await givenTo(ben.email, 10, 20, 30)
  const id = poisoned?.gift.id
  await db.query(`
    create function public.fail() returns trigger language plpgsql as $$ begin raise 'poisoned'; end $$;
    create trigger poisoned before insert on gifts.gift_redemptions
    for each row when (new.gift_id = '${id}') execute function public.fail()`)
  expect(await db.call("gifts.redeem_pending", ben)).toEqual({ ...nothing, redeemed: 2, totalCredits: 40, failed: 1 })
  await db.verify()
  expect(await warningsOf(db, "select gifts.redeem_pending($1, $2)", [ben.userId, ben.email])).toEqual([
    expect.stringContaining(id)
  ])
  await db.query("drop trigger poisoned on gifts.gift_redemptions; drop function public.fail()")
  expect(await db.call("gifts.redeem_pending", ben)).toEqual({ ...nothing, redeemed: 1, totalCredits: 20 })
})

test("pays each gift once to callers at the same time, and init among them", async () => {
  const ben = somebody()
  const gifts = await givenTo(ben.email, 1, 2, 4, 8, 16, 32)
  const [codes, ids] = [gifts.map(({ gift }) => gift.code), gifts.map(({ gift }) => gift.id)]
  const redeem = (code: string) =>
    db.call("gifts.redeem", { ...ben, code }).then(
      (answer) => answer.creditsReceived,
      () => 0
    )
  const cancel = (index: number) =>
    db.call("gifts.cancel", { userId: gifts[index]?.creatorId, giftId: ids[index] }).then(
      (answer) => -answer.refundedCredits,
      () => 0
    )
  const pending = () => db.call("gifts.redeem_pending", ben).then((answer) => answer.totalCredits)
  const init = () => db.call("credits.init", { userId: ben.userId }).then(() => 0)
  const moved: ReadonlyArray<number> = await Promise.all([
    init(),
    pending(),
    redeem(codes[0]),
    cancel(1),
    pending(),
    init(),
    redeem(codes[2]),
    cancel(3),
    pending()
  ])
  const received = moved.filter((amount) => amount > 0).reduce((sum, amount) => sum + amount, 0)
  const returned = moved.filter((amount) => amount < 0).reduce((sum, amount) => sum - amount, 0)
  expect(received + returned).toBe(63)
  expect(await db.balanceRow(ben.userId)).toMatchObject({ balance: received })
})

test.each([
  { path: "email", change: { email: null } },
  { path: "email", change: { email: "  " } },
  { path: "email", change: { email: "x".repeat(255) } },
  { path: "limit", change: { limit: 0 } },
  { path: "limit", change: { limit: 1001 } },
  ...badTexts(128).map(({ text }) => ({ path: "userId", change: { userId: text } }))
])("refuses a bad $path (CR001)", async ({ path, change }) => {
  expect(await db.refused("gifts.redeem_pending", { ...somebody(), ...change })).toEqual(invalid(path))
})
