import { randomUUID } from "node:crypto"
import type { JWTPayload } from "jose"
import { expect, test } from "vitest"
import { database } from "../support/database.ts"
import { daysAfter, nobodysCode } from "../support/gifts.ts"
import { nobodysId } from "../support/refusals.ts"
import { authService, run, serviceKey, startService } from "./support.ts"

const db = await database()
const auth = await authService()
const settings = { baseUrl: "https://credits.example", trustProxy: true }
const service = await startService(db, auth, { settings })
const other = await startService(db, auth, { settings })
const direct = await startService(db, auth, { settings: { ...settings, trustProxy: false } })

interface Person {
  readonly userId: string
  readonly token: string
}

const person = async (credits: number, claims: JWTPayload = {}): Promise<Person> => {
  const userId = await db.userWith(credits)
  return { userId, token: await auth.token(userId, claims) }
}

const as = ({ token }: Person, more: object = {}) => ({ headers: { authorization: `Bearer ${token}`, ...more } })

const give = async (giver: Person, body: object) => {
  const { status, json } = await service.request("POST", "/api/v1/gifts", { ...as(giver), body })
  expect(status).toBe(201)
  return json
}

const lookUp = (code: string, client: string, at = service) =>
  at.request("GET", `/api/v1/gifts/${code}`, { headers: { "x-forwarded-for": client } })

const redeem = (redeemer: Person, code: string, body: object = {}) =>
  service.request("POST", `/api/v1/gifts/${code}/redeem`, { ...as(redeemer), body })

test("a gift from one person to another, through the client that the contract makes", async () => {
  const giver = await db.userWith(100)
  const receiver = await db.userWith(0)
  const giving = await service.asUser(giver)
  const receiving = await service.asUser(receiver)

  const gift = await run(giving.gifts.create({ payload: { totalCredits: 30, message: "For you" }, headers: {} }))
  expect(gift).toEqual({
    id: expect.any(String),
    code: expect.stringMatching(/^[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{4}){2}$/),
    url: `https://credits.example/g/${gift.code}`,
    type: "simple",
    status: "active",
    totalCredits: 30,
    redeemed: false,
    targetEmail: null,
    message: "For you",
    expiresAt: daysAfter(gift.createdAt, 90).toISOString(),
    createdAt: expect.any(String),
    closedAt: null,
    newBalance: 70
  })

  expect(await run(receiving.gifts.redeem({ params: { code: gift.code }, payload: {}, headers: {} }))).toEqual({
    success: true,
    giftId: gift.id,
    transactionId: expect.any(String),
    creditsReceived: 30,
    newBalance: 30,
    message: "For you",
    creatorName: null
  })
  const { newBalance: _, ...given } = gift
  expect(await run(giving.gifts.created({ query: {} }))).toEqual([
    { ...given, status: "redeemed", redeemed: true, closedAt: expect.any(String) }
  ])
  expect(await run(receiving.gifts.received({ query: {} }))).toEqual([
    {
      id: gift.id,
      code: gift.code,
      credits: 30,
      message: "For you",
      creatorName: null,
      redeemedAt: expect.any(String)
    }
  ])
})

test("anybody sees what a code is worth, and from whom, but no address and no id", async () => {
  const giver = await person(100, { name: "Ann", email: "ann@example.org", email_verified: true })
  const { code } = await give(giver, { totalCredits: 30, targetEmail: "ben@example.org", message: "Hi" })
  const { status, json, text } = await lookUp(code.toLowerCase().replaceAll("-", ""), "192.0.2.1")
  expect(status).toBe(200)
  expect(json).toEqual({
    code,
    type: "personalized",
    status: "active",
    totalCredits: 30,
    redeemed: false,
    isPersonalized: true,
    message: "Hi",
    creatorName: "Ann",
    expiresAt: expect.any(String)
  })
  expect(text).not.toContain("example.org")
  expect(text).not.toContain(giver.userId)
})

test("a name that is an e-mail address is nobody's name", async () => {
  const giver = await person(100, { name: "ann@example.org" })
  const { code } = await give(giver, { totalCredits: 1 })
  expect((await lookUp(code, "192.0.2.1")).json).toMatchObject({ creatorName: null })
})

test("who takes a personalized gift is who the token says", async () => {
  const { code } = await give(await person(100), { totalCredits: 30, targetEmail: "Ben@example.org" })
  const wrong = [
    await person(0),
    await person(0, { email: "bert@example.org", email_verified: true }),
    await person(0, { email: "ben@example.org", email_verified: false })
  ]
  for (const each of wrong) {
    const { status, json } = await redeem(each, code)
    expect([status, json.code]).toEqual([409, "gift_wrong_recipient"])
  }
  const ben = await person(0, { email: "BEN@example.org" })
  expect(await redeem(ben, code, { sourceAppId: "chat" })).toMatchObject({ status: 200, json: { creditsReceived: 30 } })
})

test("what is closed says how", async () => {
  const giver = await person(100)
  const reader = await person(0)
  const taken = await give(giver, { totalCredits: 1 })
  await redeem(reader, taken.code)
  const cancelled = await give(giver, { totalCredits: 2 })
  const path = `/api/v1/gifts/${cancelled.id}`
  expect(await service.request("DELETE", path, as(giver))).toMatchObject({
    status: 200,
    json: { success: true, refundedCredits: 2, newBalance: 99 }
  })
  const expired = await db.call("gifts.create", {
    userId: giver.userId,
    totalCredits: 3,
    now: daysAfter(new Date(), -91)
  })

  expect((await redeem(reader, taken.code)).json).toMatchObject({ code: "gift_not_active", giftStatus: "redeemed" })
  expect(await redeem(reader, cancelled.code)).toMatchObject({
    status: 409,
    json: { code: "gift_not_active", giftStatus: "cancelled" }
  })
  expect(await redeem(reader, expired.code)).toMatchObject({ status: 409, json: { code: "gift_expired" } })
  expect(await service.request("DELETE", path, as(giver))).toMatchObject({
    status: 409,
    json: { code: "gift_not_active", giftStatus: "cancelled" }
  })
})

test("somebody else's gift is no gift", async () => {
  const { id } = await give(await person(10), { totalCredits: 1 })
  for (const path of [id, nobodysId]) {
    const answer = await service.request("DELETE", `/api/v1/gifts/${path}`, as(await person(0)))
    expect(answer).toMatchObject({ status: 404, json: { code: "gift_not_found" } })
  }
})

test("a replay gets the first answer and says so", async () => {
  const giver = await person(100)
  const request = { ...as(giver, { "idempotency-key": "k" }), body: { totalCredits: 30 } }
  const first = await service.request("POST", "/api/v1/gifts", request)
  const again = await service.request("POST", "/api/v1/gifts", request)
  expect(again).toMatchObject({ status: 201, json: first.json })
  expect([first, again].map(({ headers }) => headers.get("idempotency-replayed"))).toEqual([null, "true"])

  const reader = await person(0)
  const body = { idempotencyKey: "k" }
  const redeemed = await redeem(reader, first.json.code, body)
  const replayed = await redeem(reader, first.json.code, body)
  expect(replayed).toMatchObject({ status: 200, json: redeemed.json })
  expect(replayed.headers.get("idempotency-replayed")).toBe("true")
  expect(await db.balanceRow(reader.userId)).toMatchObject({ balance: 30 })
})

test.each([
  { path: "totalCredits", body: {} },
  { path: "totalCredits", body: { totalCredits: 0 } },
  { path: "totalCredits", body: { totalCredits: 10_001 } },
  { path: "totalCredits", body: { totalCredits: 1.5 } },
  { path: "type", body: { totalCredits: 1, type: "secret" } },
  { path: "targetEmail", body: { totalCredits: 1, type: "personalized" } },
  { path: "targetEmail", body: { totalCredits: 1, targetEmail: "ben" } },
  { path: "targetEmail", body: { totalCredits: 1, type: "simple", targetEmail: "ben@example.org" } },
  { path: "message", body: { totalCredits: 1, message: "x".repeat(501) } },
  { path: "message", body: { totalCredits: 1, message: "\0" } },
  { path: "expirationDays", body: { totalCredits: 1, expirationDays: 367 } }
])("a bad $path is named: $body", async ({ path, body }) => {
  const giver = await person(20_000)
  const { status, json } = await service.request("POST", "/api/v1/gifts", { ...as(giver), body })
  expect([status, json.code]).toEqual([400, "invalid_request"])
  expect(json.issues.map((issue: { readonly path: string }) => issue.path)).toContain(path)
  expect(await db.balanceRow(giver.userId)).toMatchObject({ version: 1 })
})

test("more than can be spent is 402, and nothing without a token", async () => {
  const { status, json } = await service.request("POST", "/api/v1/gifts", {
    ...as(await person(5)),
    body: { totalCredits: 6 }
  })
  expect([status, json.code, json.required, json.available]).toEqual([402, "insufficient_credits", 6, 5])
  const routes = [
    ["POST", ""],
    ["GET", "/me/created"],
    ["GET", "/me/received"],
    ["POST", `/${nobodysCode}/redeem`],
    ["DELETE", `/${nobodysId}`]
  ] as const
  for (const [method, path] of routes) {
    const body = method === "POST" ? { totalCredits: 1 } : undefined
    expect(await service.request(method, `/api/v1/gifts${path}`, { body })).toMatchObject({ status: 401 })
  }
})

test("lists go on where the Link header says", async () => {
  const giver = await person(10)
  for (let credits = 1; credits <= 3; credits++) await give(giver, { totalCredits: credits })
  const first = await service.request("GET", "/api/v1/gifts/me/created?limit=2", as(giver))
  const [, next = ""] = /^<https:\/\/credits\.example(.*)>; rel="next"$/.exec(first.headers.get("link") ?? "") ?? []
  const second = await service.request("GET", next, as(giver))
  const amounts = [first, second].map(({ json }) =>
    json.map((gift: { readonly totalCredits: number }) => gift.totalCredits)
  )
  expect(amounts).toEqual([[3, 2], [1]])
  expect(second.headers.get("link")).toBeNull()
})

test("30 misses a minute from one address, whichever server they reach; then 429, hits too", async () => {
  const { code } = await give(await person(10), { totalCredits: 1 })
  const client = "198.51.100.1"
  for (let miss = 0; miss < 30; miss++) {
    const { status, json } = await lookUp(nobodysCode, client, miss % 2 === 0 ? service : other)
    expect([status, json.code]).toEqual([404, "gift_not_found"])
  }
  for (const each of [service, other]) {
    for (const asked of [nobodysCode, code]) {
      const { status, json, headers } = await lookUp(asked, client, each)
      expect([status, json.code]).toEqual([429, "too_many_requests"])
      expect(Number(headers.get("retry-after"))).toBe(json.retryAfterSeconds)
      expect(json.retryAfterSeconds).toBeGreaterThan(30)
    }
  }
  expect((await lookUp(code, "198.51.100.2")).status).toBe(200)
  // What the caller wrote into the header itself comes first, and counts for nothing.
  expect((await lookUp(code, `203.0.113.7, ${client}`)).status).toBe(429)
})

test("10 misses a minute for one person on redeem, then 429", async () => {
  const { code } = await give(await person(10), { totalCredits: 1 })
  const guesser = await person(0)
  for (let miss = 0; miss < 10; miss++) {
    const { status, json } = await redeem(guesser, nobodysCode)
    expect([status, json.code]).toEqual([404, "gift_not_found"])
  }
  const { status, headers } = await redeem(guesser, code)
  expect(status).toBe(429)
  expect(Number(headers.get("retry-after"))).toBeGreaterThan(30)
  expect((await redeem(await person(0), code)).status).toBe(200)
})

test("X-Forwarded-For is the caller's own word unless a proxy is trusted", async () => {
  for (let miss = 0; miss < 30; miss++) {
    expect((await lookUp(nobodysCode, `203.0.113.${miss}`, direct)).status).toBe(404)
  }
  expect((await lookUp(nobodysCode, "203.0.113.99", direct)).status).toBe(429)
})

test("a code of strange signs is none", async () => {
  for (const code of ["%25", "%F0%9F%8E%81", "..%2F..", "x".repeat(64)]) {
    expect((await lookUp(code, "198.51.100.9")).status).toBe(404)
  }
  expect((await lookUp("%00", "198.51.100.9")).status).toBe(400)
})

test("the auth service redeems what waited for somebody who registers", async () => {
  const email = `${randomUUID()}@example.org`
  for (const totalCredits of [10, 20]) await give(await person(30), { totalCredits, targetEmail: email })
  const userId = await db.userWith(0)
  const request = { headers: { "x-service-key": serviceKey, "x-app-id": "auth" }, body: { userId, email } }
  const path = "/api/v1/internal/gifts/redeem-pending"
  expect(await service.request("POST", path, request)).toMatchObject({
    status: 200,
    json: { redeemed: 2, totalCredits: 30 }
  })
  expect((await service.request("POST", path, request)).json).toMatchObject({ redeemed: 0, totalCredits: 0 })
  expect(await service.request("POST", path, { body: request.body })).toMatchObject({ status: 401 })
})
