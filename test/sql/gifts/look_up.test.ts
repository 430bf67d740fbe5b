import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { daysAfter, given, nobodysCode, tooManyMisses } from "../../support/gifts.ts"
import { holding, session } from "../../support/session.ts"

const db = await database()
const lookUp = (code: string, more: object = {}) => db.call("gifts.look_up", { code, ...more })
const miss = { found: false }

test("shows a simple gift", async () => {
  const { gift } = await given(db, 30, { message: "For you", creatorName: "Ann" })
  expect(await lookUp(gift.code)).toEqual({
    found: true,
    gift: {
      code: gift.code,
      type: "simple",
      status: "active",
      totalCredits: 30,
      redeemed: false,
      isPersonalized: false,
      message: "For you",
      creatorName: "Ann",
      expiresAt: gift.expiresAt
    }
  })
})

test("shows of a personalized gift that it is one, not for whom", async () => {
  const { creatorId, gift } = await given(db, 30, { targetEmail: "ben@example.org" })
  const answer = await lookUp(gift.code)
  expect(answer.gift).toMatchObject({ type: "personalized", isPersonalized: true })
  expect(JSON.stringify(answer)).not.toContain("ben")
  expect(JSON.stringify(answer)).not.toContain(creatorId)
})

test("reads a code however it is typed", async () => {
  const { gift } = await given(db, 30)
  for (const code of [gift.code.toLowerCase(), gift.code.replaceAll("-", ""), ` ${gift.code.replaceAll("-", " ")} `]) {
    expect((await lookUp(code)).gift.code).toBe(gift.code)
  }
})

test("shows what has become of a gift", async () => {
  const redeemed = await given(db, 1)
  await db.call("gifts.redeem", { userId: "reader", code: redeemed.gift.code })
  const cancelled = await given(db, 1)
  await db.call("gifts.cancel", { userId: cancelled.creatorId, giftId: cancelled.gift.id })
  // For good: neither expires any more.
  for (const now of [redeemed.gift.createdAt, daysAfter(redeemed.gift.createdAt, 1000)]) {
    expect((await lookUp(redeemed.gift.code, { now })).gift).toMatchObject({ status: "redeemed", redeemed: true })
    expect((await lookUp(cancelled.gift.code, { now })).gift).toMatchObject({ status: "cancelled", redeemed: false })
  }
})

test("shows a gift past its expiry as expired, swept or not", async () => {
  const { gift } = await given(db, 30)
  const expired = { status: "expired", redeemed: false }
  const end = daysAfter(gift.createdAt, 90)
  expect((await lookUp(gift.code, { now: new Date(end.getTime() - 1) })).gift).toMatchObject({ status: "active" })
  expect((await lookUp(gift.code, { now: end })).gift).toMatchObject(expired)
  await db.call("gifts.expire", { now: end })
  expect((await lookUp(gift.code, { now: end })).gift).toMatchObject(expired)
})

test("answers a miss, whatever was typed", async () => {
  for (const code of [nobodysCode, "", "x", "A".repeat(5000)]) expect(await lookUp(code)).toEqual(miss)
})

test("has 30 misses a minute for each address, then refuses hits too (CR205)", async () => {
  const { gift } = await given(db, 30)
  const client = "192.0.2.1"
  const start = new Date("2026-06-01T12:00:00Z")
  const at = (seconds: number) => ({ client, now: new Date(start.getTime() + seconds * 1000) })

  for (let second = 0; second < 30; second++) expect(await lookUp(nobodysCode, at(second))).toEqual(miss)
  expect(await db.refused("gifts.look_up", { code: nobodysCode, ...at(30) })).toEqual(tooManyMisses(30))
  expect(await db.refused("gifts.look_up", { code: gift.code, ...at(59) })).toEqual(tooManyMisses(1))
  expect((await lookUp(gift.code, { ...at(30), client: "192.0.2.2" })).found).toBe(true)

  // The first miss is a minute old: there is room for one more, and for any number of hits.
  for (let hit = 0; hit < 5; hit++) expect((await lookUp(gift.code, at(60))).found).toBe(true)
  expect(await lookUp(nobodysCode, at(60))).toEqual(miss)
  expect(await db.refused("gifts.look_up", { code: nobodysCode, ...at(60) })).toEqual(tooManyMisses(1))
})

test("counts by the time, in whatever order the clocks of two servers told it", async () => {
  const at = (seconds: number) => ({ client: "192.0.2.8", now: new Date(Date.UTC(2026, 5, 1, 12, 0, seconds)) })
  await lookUp(nobodysCode, at(20))
  for (let n = 0; n < 29; n++) await lookUp(nobodysCode, at(10))
  expect(await db.refused("gifts.look_up", { code: nobodysCode, ...at(30) })).toEqual(tooManyMisses(40))
})

test("never counts a hit", async () => {
  const { gift } = await given(db, 30)
  for (let hit = 0; hit < 40; hit++) expect((await lookUp(gift.code, { client: "192.0.2.3" })).found).toBe(true)
  expect(await db.query("select from gifts.misses where guesser like '%192.0.2.3'")).toEqual([])
})

test("doesn't count where there is no address: somebody in psql", async () => {
  for (let call = 0; call < 40; call++) expect(await lookUp(nobodysCode)).toEqual(miss)
})

test.each([
  { what: "its own", client: "192.0.2.4", guesser: "address 192.0.2.4" },
  { what: "its own, as a dual-stack socket writes it", client: "::ffff:192.0.2.4", guesser: "address 192.0.2.4" },
  { what: "those of its /64", client: "2001:db8:1:2:3:4:5:6", guesser: "address 2001:db8:1:2::/64" },
  { what: "those of its /64", client: "::1", guesser: "address ::/64" }
])("counts the misses of $client as $what", async ({ client, guesser }) => {
  expect(await db.query("select gifts.guesser($1) as guesser", [client])).toEqual([{ guesser }])
})

test("counts a hundred misses at once as a hundred", async () => {
  const outcomes = await Promise.allSettled(
    Array.from({ length: 100 }, () => lookUp(nobodysCode, { client: "192.0.2.5" }))
  )
  expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(30)
})

test("lets an address look at one code at a time, and nobody wait for another address", async () => {
  const { gift } = await given(db, 30)
  const look = { code: gift.code, client: "192.0.2.6" }
  const [a, b] = [await session(db), await session(db)]
  await a.query("begin")
  await a.call("gifts.look_up", look)
  expect((await lookUp(gift.code, { client: "192.0.2.7" })).found).toBe(true)
  const second = b.call("gifts.look_up", look)
  await b.waitsFor(a)
  await a.query("commit")
  expect(await second).toMatchObject({ found: true })
})

test("forgets misses when the minute is over, so that the table stays small", async () => {
  const at = (minute: number) => new Date(Date.UTC(2030, 0, 1, 0, minute))
  for (let host = 1; host <= 40; host++) await lookUp(nobodysCode, { client: `198.51.100.${host}`, now: at(0) })
  for (let host = 1; host <= 25; host++) await lookUp(nobodysCode, { client: `203.0.113.${host}`, now: at(1) })
  const rows = await db.query("select guesser from gifts.misses where guesser not like '%203.0.113.%'")
  expect(rows).toEqual([])
})

test("clears away two that are over at a time, the longest over first, and waits for nobody there", async () => {
  await db.query("delete from gifts.misses")
  const at = (seconds: number) => new Date(Date.UTC(2031, 0, 1) + seconds * 1000)
  const guessed = (host: number, seconds: number) =>
    lookUp(nobodysCode, { client: `198.51.100.${host}`, now: at(seconds) })
  const left = async () => {
    const rows = await db.query("select guesser from gifts.misses order by guesser")
    return rows.map(({ guesser }) => guesser.replace("address 198.51.100.", ""))
  }
  for (const [host, seconds] of [
    [1, 40],
    [2, 30],
    [3, 0],
    [4, 10],
    [5, 20]
  ] as const)
    await guessed(host, seconds)
  await guessed(6, 600)
  expect(await left()).toEqual(["1", "2", "5", "6"])

  await holding(db, "select from gifts.misses where guesser like '%198.51.100.5' for update")
  await guessed(7, 600)
  expect(await left()).toEqual(["5", "6", "7"])
})
