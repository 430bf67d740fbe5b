import { expect, test } from "vitest"
import { database, refusalOf } from "../../support/database.ts"
import { daysAfter, given, giftNotActive, wrongRecipient } from "../../support/gifts.ts"
import { session } from "../../support/session.ts"

const db = await database()

const settled = (outcomes: ReadonlyArray<PromiseSettledResult<unknown>>) => ({
  done: outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : [])),
  refused: outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [refusalOf(outcome.reason)] : []))
})

test("1,000 people redeem one gift at once: one gets it", async () => {
  const { creatorId, gift } = await given(db, 777)
  const people = Array.from({ length: 1000 }, (_, index) => `racer-${index}`)
  const { done, refused } = settled(
    await Promise.allSettled(people.map((userId) => db.call("gifts.redeem", { userId, code: gift.code })))
  )
  expect(done).toHaveLength(1)
  expect(refused).toEqual(Array.from({ length: 999 }, () => giftNotActive("redeemed")))
  // 999 got nothing, not even an account.
  const winners = await db.query("select user_id, balance from credits.balances where user_id like 'racer-%'")
  expect(winners).toEqual([{ user_id: expect.any(String), balance: 777 }])
  expect(await db.balanceRow(creatorId)).toMatchObject({ balance: 0 })
})

test("one person redeems one gift 50 times at once with one key: paid once, answered 50 times", async () => {
  const { gift } = await given(db, 5)
  const request = { userId: "hasty", code: gift.code, idempotencyKey: "k" }
  const answers = await Promise.all(Array.from({ length: 50 }, () => db.call("gifts.redeem", request)))
  expect(new Set(answers.map((answer) => answer.transactionId)).size).toBe(1)
  expect(answers.filter((answer) => answer.replayed !== true)).toHaveLength(1)
  expect(await db.balanceRow("hasty")).toMatchObject({ balance: 5 })
})

test("redeem, redeem pending, cancel and expiry at once: a gift ends in one place", async () => {
  const email = "ben@example.org"
  const gifts = await Promise.all(Array.from({ length: 40 }, () => given(db, 10, { targetEmail: email })))
  const end = daysAfter(new Date(), 91)
  const moves = gifts.flatMap(({ creatorId, gift }, index) => {
    const all = [
      () => db.call("gifts.redeem", { userId: `a-${index}`, code: gift.code, email }),
      () => db.call("gifts.cancel", { userId: creatorId, giftId: gift.id }),
      () => db.call("gifts.redeem", { userId: `b-${index}`, code: gift.code, email }),
      ...(index % 10 === 5 ? [() => db.call("gifts.redeem_pending", { userId: "z", email, limit: 5 })] : []),
      ...(index % 10 === 9 ? [() => db.call("gifts.expire", { now: end, limit: 5 })] : [])
    ]
    // Another one first each time.
    return [...all.slice(index % all.length), ...all.slice(0, index % all.length)]
  })
  const { refused } = settled(await Promise.allSettled(moves.map((move) => move())))
  expect(refused.filter(({ sqlstate }) => !["CR202", "CR203"].includes(sqlstate))).toEqual([])

  const ids = gifts.map(({ gift }) => gift.id)
  const closed = await db.query(`select g.id from gifts.gift_codes g where g.id = any($1) and g.status <> 'active'`, [
    ids
  ])
  expect(closed).toHaveLength(40)
  const rows = await db.query(
    `select metadata ->> 'giftId' as id, count(*) as rows, sum(amount) as sum from credits.transactions
     where type = 'gift' and metadata ->> 'giftId' = any($1) group by 1`,
    [ids]
  )
  expect(rows).toEqual(gifts.map(() => ({ id: expect.any(String), rows: 2, sum: "0" })))
})

test("a redeem that waits for a cancel finds the gift cancelled", async () => {
  const { creatorId, gift } = await given(db, 10)
  const [a, b] = [await session(db), await session(db)]
  await a.query("begin")
  await a.call("gifts.cancel", { userId: creatorId, giftId: gift.id })
  const waiting = b.call("gifts.redeem", { userId: "late", code: gift.code })
  await b.waitsFor(a)
  await a.query("commit")
  expect(await waiting).toEqual(giftNotActive("cancelled"))
  expect(await db.balanceRow("late")).toBeUndefined()
})

test("a redeem that waits for a cancel that is undone gets the gift", async () => {
  const { creatorId, gift } = await given(db, 10)
  const [a, b] = [await session(db), await session(db)]
  await a.query("begin")
  await a.call("gifts.cancel", { userId: creatorId, giftId: gift.id })
  const waiting = b.call("gifts.redeem", { userId: "patient", code: gift.code })
  await b.waitsFor(a)
  await a.query("rollback")
  expect(await waiting).toMatchObject({ creditsReceived: 10 })
})

test("a cancel that waits for a redeem finds the gift redeemed", async () => {
  const { creatorId, gift } = await given(db, 10)
  const [a, b] = [await session(db), await session(db)]
  await a.query("begin")
  await a.call("gifts.redeem", { userId: "quick", code: gift.code })
  const waiting = b.call("gifts.cancel", { userId: creatorId, giftId: gift.id })
  await b.waitsFor(a)
  await a.query("commit")
  expect(await waiting).toEqual(giftNotActive("redeemed"))
})

test("expiry passes by a gift that somebody is redeeming", async () => {
  const { gift } = await given(db, 10)
  const a = await session(db)
  await a.query("begin")
  await a.call("gifts.redeem", { userId: "just in time", code: gift.code })
  const end = daysAfter(gift.createdAt, 91)
  expect(await db.call("gifts.expire", { now: end })).toMatchObject({ expired: 0 })
  await a.query("commit")
  expect(await db.call("gifts.expire", { now: end })).toMatchObject({ expired: 0 })
})

test("who can't have a gift waits for nobody", async () => {
  const { creatorId, gift } = await given(db, 10, { targetEmail: "ben@example.org" })
  const a = await session(db)
  await a.query("begin")
  await a.call("gifts.cancel", { userId: creatorId, giftId: gift.id })
  expect(await db.refused("gifts.redeem", { userId: "bert", code: gift.code })).toEqual(wrongRecipient)
  expect(await db.call("gifts.look_up", { code: gift.code })).toMatchObject({ gift: { status: "active" } })
  await a.query("commit")
})

test("people who redeem each other's gifts at once don't wait in a circle", async () => {
  const people = ["anna", "bela", "cora", "dora"]
  for (let round = 0; round < 10; round++) {
    const gifts = await Promise.all(
      people.map(async (userId) => {
        await db.call("credits.grant", { userId, amount: 1, reason: "test", referenceId: `round-${round}` })
        return db.call("gifts.create", { userId, totalCredits: 1 })
      })
    )
    // Each redeems the next one's, and the one after that's.
    const moves = people.flatMap((userId, index) =>
      [1, 2].map((step) => ({ userId, code: gifts[(index + step) % 4].code }))
    )
    const { done, refused } = settled(await Promise.allSettled(moves.map((move) => db.call("gifts.redeem", move))))
    expect(done).toHaveLength(4)
    expect(refused).toEqual(Array.from({ length: 4 }, () => giftNotActive("redeemed")))
  }
})
