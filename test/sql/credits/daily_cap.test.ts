/** What goes through a service key with a daily cap: credits.use, use_many, reserve, and what closes holds. */
import { describe, expect, test } from "vitest"
import { database, refusalOf } from "../../support/database.ts"
import { capReached, keyReused, notEnough } from "../../support/refusals.ts"
import { createKey, spentOn } from "../../support/service-keys.ts"
import { holding, session } from "../../support/session.ts"

const db = await database()

const now = new Date("2026-03-01T12:00:00Z")
/** The last moment of the day, and the first of the next. */
const late = new Date("2026-03-01T23:59:59.500Z")
const midnight = new Date("2026-03-02T00:00:00Z")

const debit = { appId: "chat", description: "one", caller: "service:chat", now }
const hold = { reason: "a call", caller: "service:chat", now }

/** A user of 1000 credits, and a key with this cap. */
const capped = async (dailyCap: number) => {
  const { id: serviceKeyId } = await createKey(db, { dailyCap, now: new Date(0) })
  return { userId: await db.userWith(1000), serviceKeyId }
}
type Capped = Awaited<ReturnType<typeof capped>>

const use = (who: Capped, amount: number, more: object = {}) =>
  db.call("credits.use", { ...debit, ...who, amount, ...more })
const refusedUse = (who: Capped, amount: number, more: object = {}) =>
  db.refused("credits.use", { ...debit, ...who, amount, ...more })
const reserve = async (who: Capped, amount: number, more: object = {}) =>
  (await db.call("credits.reserve", { ...hold, ...who, amount, ...more })).reservationId

const days = ({ serviceKeyId }: Capped) => spentOn(db, serviceKeyId)

const useMany = (items: ReadonlyArray<object>, more: object = {}) =>
  db.call("credits.use_many", { items, caller: "service:chat", isCapped: true, now, ...more })

const outcomes = ({ results }: { readonly results: ReadonlyArray<{ readonly ok: boolean }> }) =>
  results.map(({ ok }) => ok)

describe("a debit", () => {
  test("goes through until the cap is spent, to the last credit (CR403)", async () => {
    const who = await capped(10)
    await use(who, 6)
    const refusal = await refusedUse(who, 5)
    expect(refusal).toEqual(capReached(10, 6, 43_200))
    expect(refusal.message).toContain("10 credits a day: 6 are spent, 5 were asked for")
    await use(who, 4)
    expect(await refusedUse(who, 1)).toEqual(capReached(10, 10))
    expect(await days(who)).toEqual({ "2026-03-01": 10 })
  })

  test("counts the price of an operation", async () => {
    const who = await capped(10)
    await use(who, 0, { amount: null, operation: "chat_gpt4", quantity: 2 })
    expect(await days(who)).toEqual({ "2026-03-01": 10 })
  })

  test("has a new day at midnight UTC (CR403)", async () => {
    const who = await capped(10)
    await use(who, 10, { now: late })
    expect(await refusedUse(who, 1, { now: late })).toEqual(capReached(10, 10, 1))
    await use(who, 9, { now: midnight })
    expect(await refusedUse(who, 2, { now: midnight })).toEqual(capReached(10, 9, 86_400))
    expect(await days(who)).toEqual({ "2026-03-01": 10, "2026-03-02": 9 })
  })

  test("writes nothing of other keys, and keeps nobody of theirs waiting", async () => {
    const [who, other, unused] = [await capped(10), await capped(10), await capped(10)]
    await use(other, 1)
    const a = await session(db)
    await a.query("begin")
    await a.call("credits.use", { ...debit, ...who, amount: 3 })
    await use(other, 2)
    await a.query("commit")
    expect([await days(who), await days(other), await days(unused)]).toEqual([
      { "2026-03-01": 3 },
      { "2026-03-01": 3 },
      {}
    ])
  })

  test("replayed isn't counted again, and a refused one not at all (CR002, CR003)", async () => {
    const who = await capped(10)
    await use(who, 6, { idempotencyKey: "k" })
    expect(await use(who, 6, { idempotencyKey: "k" })).toMatchObject({ replayed: true })
    expect(await refusedUse(who, 1, { idempotencyKey: "k" })).toEqual(keyReused("k"))
    const poor = { ...who, userId: await db.userWith(1) }
    expect(await refusedUse(poor, 2)).toEqual(notEnough(2, 1))
    expect(await days(who)).toEqual({ "2026-03-01": 6 })
    // Beyond the cap it burns no key.
    expect(await refusedUse(who, 5, { idempotencyKey: "later" })).toEqual(capReached(10, 6))
    await use(who, 4, { idempotencyKey: "later" })
  })

  test("through a key without a cap counts nothing", async () => {
    const { id: serviceKeyId } = await createKey(db)
    const who = { userId: await db.userWith(1000), serviceKeyId }
    await use(who, 10)
    await useMany([{ ...debit, ...who, amount: 10 }])
    await db.call("credits.release", { reservationId: await reserve(who, 10), now })
    expect(await days(who)).toEqual({})
  })
})

describe("many debits", () => {
  test("only those beyond the cap are refused, in the order asked (CR403)", async () => {
    const who = await capped(10)
    const answer = await useMany([4, 7, 3, 4, 3].map((amount) => ({ ...debit, ...who, amount })))
    expect(outcomes(answer)).toEqual([true, false, true, false, true])
    expect(answer.results[1].error).toEqual(capReached(10, 4, 43_200))
    expect(answer.results[3].error).toEqual(capReached(10, 7, 43_200))
    expect(await days(who)).toEqual({ "2026-03-01": 10 })
    expect(await db.balanceRow(who.userId)).toMatchObject({ balance: 990, version: 4 })
  })

  test("each item counts against its own key, and those without one against none", async () => {
    const [one, two] = [await capped(8), await capped(5)]
    await use(one, 3)
    const { serviceKeyId: _none, ...keyless } = await capped(5)
    const answer = await useMany(
      [one, two, keyless, one, two, keyless].map((who) => ({ ...debit, ...who, amount: 3 })),
      { caller: null }
    )
    expect(outcomes(answer)).toEqual([true, true, true, false, false, true])
    expect([await days(one), await days(two)]).toEqual([{ "2026-03-01": 6 }, { "2026-03-01": 3 }])
  })

  test("what an item says of a key counts only where the call says so", async () => {
    const who = await capped(5)
    const answer = await useMany([{ ...debit, ...who, amount: 6 }], { isCapped: false })
    expect(outcomes(answer)).toEqual([true])
    expect(await days(who)).toEqual({})
  })

  test("replays and refused ones aren't counted", async () => {
    const who = await capped(10)
    const items = [
      { ...debit, ...who, amount: 4, idempotencyKey: "k" },
      { ...debit, ...who, amount: 0 },
      { ...debit, ...who, amount: 2000 }
    ]
    expect(outcomes(await useMany(items))).toEqual([true, false, false])
    expect(outcomes(await useMany(items))).toEqual([true, false, false])
    expect(await days(who)).toEqual({ "2026-03-01": 4 })
  })
})

describe("a hold", () => {
  test("counts as if it were charged (CR403)", async () => {
    const who = await capped(10)
    await reserve(who, 6)
    expect(await db.refused("credits.reserve", { ...hold, ...who, amount: 5 })).toEqual(capReached(10, 6, 43_200))
    expect(await refusedUse(who, 5)).toEqual(capReached(10, 6))
    await reserve(who, 4, { idempotencyKey: "k" })
    await reserve(who, 4, { idempotencyKey: "k" })
    expect(await days(who)).toEqual({ "2026-03-01": 10 })
  })

  test("gives back what it didn't come to: charged in part, released, expired", async () => {
    const who = await capped(10)
    const reservationId = await reserve(who, 10)
    await db.call("credits.commit", { reservationId, amount: 3, now })
    expect(await days(who)).toEqual({ "2026-03-01": 3 })
    const released = await reserve(who, 7)
    await db.call("credits.release", { reservationId: released, now })
    await db.call("credits.release", { reservationId: released, now })
    expect(await days(who)).toEqual({ "2026-03-01": 3 })
    await reserve(who, 3, { expiresInSeconds: 60 })
    await reserve(who, 4, { expiresInSeconds: 60 })
    await db.call("credits.expire_reservations", { now: new Date(now.getTime() + 60_000) })
    expect(await days(who)).toEqual({ "2026-03-01": 3 })
    const whole = await reserve(who, 7)
    await db.call("credits.commit", { reservationId: whole, now })
    expect(await days(who)).toEqual({ "2026-03-01": 10 })
  })

  test("of yesterday leaves today's cap alone, whatever becomes of it", async () => {
    const who = await capped(10)
    const [charged, released] = [await reserve(who, 6, { now: late }), await reserve(who, 4, { now: late })]
    await use(who, 10, { now: midnight })
    await db.call("credits.commit", { reservationId: charged, amount: 1, now: midnight })
    await db.call("credits.release", { reservationId: released, now: midnight })
    expect(await refusedUse(who, 1, { now: midnight })).toEqual(capReached(10, 10))
    expect(await days(who)).toEqual({ "2026-03-01": 1, "2026-03-02": 10 })
  })

  test("swept with those of other keys gives back to each its own", async () => {
    const [one, two] = [await capped(10), await capped(10)]
    for (const [who, amount] of [
      [one, 2],
      [two, 3],
      [one, 4]
    ] as const) {
      await reserve(who, amount, { expiresInSeconds: 60 })
    }
    await use(one, 1)
    await db.call("credits.expire_reservations", { now: new Date(now.getTime() + 60_000) })
    expect([await days(one), await days(two)]).toEqual([{ "2026-03-01": 1 }, { "2026-03-01": 0 }])
  })
})

describe("at the same time", () => {
  test("64 debits of different users: exactly the cap is spent", async () => {
    const { serviceKeyId } = await capped(40)
    const userIds = await Promise.all(Array.from({ length: 64 }, () => db.userWith(10)))
    const ended = await Promise.all(
      userIds.map((userId) =>
        db.call("credits.use", { ...debit, userId, amount: 1, serviceKeyId }).then(
          () => "done",
          (error) => refusalOf(error).sqlstate
        )
      )
    )
    expect(ended.filter((each) => each === "done")).toHaveLength(40)
    expect(ended.filter((each) => each === "CR403")).toHaveLength(24)
    expect(await days({ userId: "", serviceKeyId })).toEqual({ "2026-03-01": 40 })
  })

  test("batches and holds that name two keys in opposite orders never wait in a circle (no 40P01)", async () => {
    const keys = [await capped(1_000_000), await capped(1_000_000)]
    const users = await Promise.all(Array.from({ length: 8 }, () => db.userWith(1000)))
    const batch = (index: number) =>
      useMany(
        (index % 2 === 0 ? keys : keys.toReversed()).map(({ serviceKeyId }, place) => ({
          ...debit,
          userId: users[(index * 3 + place) % 8],
          amount: 1,
          serviceKeyId
        })),
        { caller: null }
      ).then(
        () => "done",
        (error: unknown) => refusalOf(error).sqlstate
      )
    const single = (index: number) =>
      db.call("credits.reserve", {
        ...hold,
        userId: users[index % 8],
        amount: 1,
        expiresInSeconds: 60,
        serviceKeyId: keys[index % 2]?.serviceKeyId
      })
    const sweep = () => db.call("credits.expire_reservations", { now: new Date(now.getTime() + 60_000) })
    const before = await db.query("select deadlocks from pg_stat_database where datname = current_database()")
    const rounds = Array.from({ length: 60 }, (_, index) => index)
    const others = Promise.all(rounds.flatMap((index) => [single(index), sweep()]))
    // A batch that lost its patience (55P03) is no circle.
    for (const outcome of await Promise.all(rounds.map(batch))) expect(["done", "55P03"]).toContain(outcome)
    await others
    expect(await db.query("select deadlocks from pg_stat_database where datname = current_database()")).toEqual(before)
  })

  test("a batch takes its caps in order, whatever order it names them in", async () => {
    const keys = (await Promise.all(Array.from({ length: 8 }, () => capped(100)))).toSorted((x, y) =>
      x.serviceKeyId < y.serviceKeyId ? -1 : 1
    )
    for (const who of keys.toReversed()) await use(who, 1)
    const rows = (text: string, ids: ReadonlyArray<string>) =>
      [`select from credits.service_key_days where key_id = any($1) for update ${text}`, [ids]] as const
    const [first = "", ...others] = keys.map(({ serviceKeyId }) => serviceKeyId)
    const holder = await holding(db, ...rows("", [first]))
    const a = await session(db)
    const items = keys.toReversed().map((who) => ({ ...debit, ...who, amount: 1 }))
    const taken = a.call("credits.use_many", { items, caller: "service:chat", isCapped: true, now })
    await a.waitsFor(holder)
    // It waits for the first, and has none of the others yet.
    await db.query(...rows("nowait", others))
    await holder.release()
    expect(outcomes(Object(await taken))).toEqual(keys.map(() => true))
  })

  test("a debit waits for one that isn't decided yet, and takes what that leaves", async () => {
    const who = await capped(10)
    const other = { ...who, userId: await db.userWith(10) }
    const [first, second] = [await session(db), await session(db)]
    await first.query("begin")
    await first.call("credits.use", { ...debit, ...who, amount: 10 })
    const waiting = second.call("credits.use", { ...debit, ...other, amount: 1 })
    await second.waitsFor(first)
    await first.query("rollback")
    expect(await waiting).toMatchObject({ newBalance: { balance: 9 } })
    expect(await days(who)).toEqual({ "2026-03-01": 1 })
  })
})
