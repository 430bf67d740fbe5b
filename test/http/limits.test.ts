import { createHmac } from "node:crypto"
import { Option, Redacted } from "effect"
import { describe, expect, onTestFinished, test } from "vitest"
import { networkOf } from "../../src/http/middleware/client-address.ts"
import { type Rates, tokenBuckets } from "../../src/http/middleware/rate-limits.ts"
import { makeSecret } from "../../src/auth/service-keys.ts"
import { database } from "../support/database.ts"
import { createKey } from "../support/service-keys.ts"
import { eventually } from "../support/wait.ts"
import { connect } from "./connection.ts"
import { authService, type RawRequest, type ServiceOptions, serviceKey, startService } from "./support.ts"

const db = await database()
const auth = await authService()
const webhookSecret = "whsec_of_limits"

/** A service that counts, for one test. */
const started = (rates: Partial<Rates>, settings: ServiceOptions["settings"] = {}) =>
  startService(db, auth, {
    rates,
    settings: {
      stripe: Option.some({ secretKey: Redacted.make("sk_test_none"), webhookSecrets: [Redacted.make(webhookSecret)] }),
      ...settings
    }
  })
type Service = Awaited<ReturnType<typeof started>>

/** So slow that nothing comes back within a test. */
const few = { burst: 5, perSecond: 0.01 }

const statuses = async (service: Service, count: number, method: string, path: string, request: RawRequest = {}) => {
  const answers = await Promise.all(Array.from({ length: count }, () => service.request(method, path, request)))
  return answers.map(({ status }) => status).toSorted((a, b) => a - b)
}
const times = (status: number, count: number) => Array.from({ length: count }, () => status)

describe("counting", () => {
  test("lets through a burst, then as many as come back by the second", () => {
    let now = 0
    const { count } = tokenBuckets({ burst: 3, perSecond: 0.5 }, () => now)
    expect([count("a"), count("a"), count("a"), count("a"), count("a")]).toEqual([0, 0, 0, 2, 2])
    expect(count("b")).toBe(0)
    now = 1500
    expect(count("a")).toBe(1)
    now = 2000
    expect([count("a"), count("a")]).toEqual([0, 2])
    now = 1_000_000
    expect([count("a"), count("a"), count("a"), count("a")]).toEqual([0, 0, 0, 2])
  })

  test("remembers no more than ten thousand names, those that asked last", () => {
    const { count } = tokenBuckets({ burst: 1, perSecond: 0.01 }, () => 0)
    expect([count("first"), count("second")]).toEqual([0, 0])
    for (let n = 0; n < 9_998; n += 1) count(`name ${n}`)
    expect(count("first")).toBe(100)
    expect(count("one more")).toBe(0)
    expect(count("first")).toBe(100)
    // It was silent longest.
    expect(count("second")).toBe(0)
  })

  test.each([
    ["192.0.2.7", "192.0.2.7"],
    ["::ffff:192.0.2.7", "192.0.2.7"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2"],
    ["2001:0DB8:0001:0002::", "2001:db8:1:2"],
    ["2001:db8::6", "2001:db8:0:0"],
    ["::1", "0:0:0:0"],
    ["fe80::1:2:3:4", "fe80:0:0:0"],
    ["", "0:0:0:0"]
  ])("%s is of the network %s", (address, network) => {
    expect(networkOf(address)).toBe(network)
  })
})

describe("strangers", () => {
  test.each([
    ["GET", "/api/v1/credits/pricing", {}],
    ["GET", "/api/v1/gifts/0000-0000-0000", {}],
    ["GET", "/g/0000-0000-0000", {}],
    ["GET", "/docs", {}],
    ["GET", "/openapi.json", {}],
    ["GET", "/nothing", {}],
    ["GET", "/%zz", {}],
    ["PUT", "/api/v1/credits/use", {}],
    ["GET", "/api/v1/credits/balance", {}],
    ["GET", "/api/v1/credits/balance", { authorization: "Bearer nonsense" }],
    ["POST", "/api/v1/credits/use", { authorization: "Bearer nonsense" }],
    ["POST", "/api/v1/internal/credits/use", { "x-service-key": "wrong" }],
    ["GET", "/api/v1/admin/sync/x", { authorization: "Bearer nonsense" }],
    ["POST", "/api/v1/webhooks/stripe", { "stripe-signature": "wrong" }],
    ["GET", "/nothing", { "x-service-key": serviceKey }],
    ["GET", "/api/v1/credits/pricing", { "x-service-key": serviceKey }],
    ["GET", "/api/v1/credits/packages", { authorization: "Bearer nonsense" }],
    ["POST", "/api/v1/credits/use", { "x-service-key": serviceKey }]
  ])("%s %s %j: counted by address, then told to wait", async (method, path, headers) => {
    const service = await started({ unauthenticated: few })
    const found = await statuses(service, 8, method, path, { headers })
    expect(found.filter((status) => status === 429)).toHaveLength(3)
    const { status, headers: said, json } = await service.request(method, path, { headers })
    expect([status, json.code, said.get("content-type")]).toEqual([
      429,
      "too_many_requests",
      "application/problem+json"
    ])
    expect(said.get("retry-after")).toBe(String(json.retryAfterSeconds))
    expect(json.retryAfterSeconds).toBeGreaterThan(50)
  })

  test("don't hinder those who are known, from the same address", async () => {
    const service = await started({ unauthenticated: few })
    const userId = await db.userWith(1000)
    const bearer = { authorization: `Bearer ${await auth.token(userId)}` }
    await statuses(service, 20, "GET", "/nothing")
    const debit = { userId, amount: 1, appId: "chat", description: "Within the limits" }
    const headers = { "x-service-key": serviceKey }
    expect(await statuses(service, 100, "POST", "/api/v1/internal/credits/use", { headers, body: debit })).toEqual(
      times(200, 100)
    )
    expect(await statuses(service, 20, "POST", "/api/v1/credits/use", { headers: bearer, body: debit })).toEqual(
      times(200, 20)
    )
    // Malformed, and not enough: mistakes of somebody whom we know.
    expect(await statuses(service, 20, "POST", "/api/v1/internal/credits/use", { headers, body: {} })).toEqual(
      times(400, 20)
    )
    expect(await statuses(service, 20, "GET", "/api/v1/admin/sync/x", { headers: bearer })).toEqual(times(403, 20))
    const body = JSON.stringify({ id: "evt_l", type: "x", created: 1, livemode: false, data: { object: {} } })
    const at = Math.floor(Date.now() / 1000)
    const v1 = createHmac("sha256", webhookSecret).update(`${at}.${body}`).digest("hex")
    const signed = { headers: { "stripe-signature": `t=${at},v1=${v1}` }, body }
    expect(await statuses(service, 10, "POST", "/api/v1/webhooks/stripe", signed)).toEqual(times(200, 10))
  })

  test("have nothing looked up once they have to wait, whatever they show where nobody asks who they are", async () => {
    const service = await started({ unauthenticated: few })
    await statuses(service, 5, "GET", "/nothing")
    // Whoever wants to know of gifts now waits, until the statement is given up: that would be 503.
    const holder = await db.pool.connect()
    onTestFinished(() => holder.release(true))
    await holder.query("begin; lock table credits.operations, gifts.gift_codes in access exclusive mode")
    for (const headers of [{ authorization: "x" }, { "x-service-key": serviceKey }, { "stripe-signature": "x" }]) {
      for (const path of ["/api/v1/credits/pricing", "/api/v1/gifts/0000-0000-0000", "/g/0000-0000-0000"]) {
        expect(await statuses(service, 1, "GET", path, { headers })).toEqual([429])
      }
    }
    await holder.query("rollback")
  })

  test("have few bodies read at once where only a signature over the body says who sends it", async () => {
    const service = await started({}, { trustProxy: true })
    const body = JSON.stringify({ id: "evt_m", type: "x", created: 1, livemode: false, data: { object: {} } })
    const at = Math.floor(Date.now() / 1000)
    const v1 = createHmac("sha256", webhookSecret).update(`${at}.${body}`).digest("hex")
    const post = (address: string) =>
      service.request("POST", "/api/v1/webhooks/stripe", {
        headers: { "stripe-signature": `t=${at},v1=${v1}`, "x-forwarded-for": address },
        body
      })
    const begun = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const { socket, write } = await connect(service.port)
        write(
          "POST /api/v1/webhooks/stripe HTTP/1.1\r\nHost: x\r\nStripe-Signature: x\r\n" +
            "X-Forwarded-For: 192.0.2.1\r\nContent-Length: 1048576\r\n\r\n{"
        )
        return socket
      })
    )
    const [first] = begun
    const { status, json } = await eventually(
      () => post("192.0.2.1"),
      (answer) => answer.status === 429
    )
    expect([status, json.code]).toEqual([429, "too_many_requests"])
    expect((await post("192.0.2.2")).status).toBe(200)
    first?.destroy()
    await eventually(
      () => post("192.0.2.1"),
      (answer) => answer.status === 200
    )
    for (const socket of begun) socket.destroy()
  })

  test("have no keys looked up once they have to wait; those that were good before are known", async () => {
    const service = await started({ unauthenticated: few })
    const get = (secret: string) =>
      service.request("GET", "/api/v1/internal/credits/balance/nobody", { headers: { "x-service-key": secret } })
    const good = await createKey(db)
    expect((await get(good.secret)).status).toBe(200)
    for (let n = 0; n < 5; n += 1) expect((await get(makeSecret().secret)).status).toBe(401)

    // Whoever wants to know of a key now waits, until the look-up is given up: that would be 503.
    const holder = await db.pool.connect()
    onTestFinished(() => holder.release(true))
    await holder.query("begin; lock table credits.service_keys in access exclusive mode")
    const guessed = await Promise.all(Array.from({ length: 300 }, () => get(makeSecret().secret)))
    expect(new Set(guessed.map(({ status }) => status))).toEqual(new Set([429]))
    await holder.query("rollback")
    expect((await get(good.secret)).status).toBe(200)
  })

  test("aren't those whose token has expired: they learn it, to sign in again", async () => {
    const service = await started({ unauthenticated: few })
    const expired = await auth.token("somebody", { exp: Math.floor(Date.now() / 1000) - 60 })
    const headers = { authorization: `Bearer ${expired}` }
    expect(await statuses(service, 20, "GET", "/api/v1/credits/balance", { headers })).toEqual(times(401, 20))
  })

  test("aren't those who can't be judged, while the auth service is away", async () => {
    const own = await authService()
    own.goAway()
    const service = await startService(db, own, { rates: { unauthenticated: few } })
    const headers = { authorization: `Bearer ${await own.token("somebody")}` }
    expect(await statuses(service, 20, "GET", "/api/v1/credits/balance", { headers })).toEqual(times(503, 20))
    // Whoever runs it is told where it was asked, and why it failed.
    expect(service.lines.join()).toMatch(/"reason":"No keys from http[^"]*","because":"[^"]+"/)
  })

  test("aren't those who watch whether we live", async () => {
    const service = await started({ unauthenticated: few })
    await statuses(service, 20, "GET", "/nothing")
    expect(await statuses(service, 50, "GET", "/health")).toEqual(times(200, 50))
    expect(await statuses(service, 50, "GET", "/health/ready")).toEqual(times(200, 50))
  })

  test("are told apart by what the trusted proxy says, and by nothing else", async () => {
    const from = (address: string): RawRequest => ({ headers: { "x-forwarded-for": address } })
    const behind = await started({ unauthenticated: few }, { trustProxy: true })
    expect(await statuses(behind, 6, "GET", "/nothing", from("192.0.2.1"))).toEqual([...times(404, 5), 429])
    expect(await statuses(behind, 6, "GET", "/nothing", from("1.1.1.1, 192.0.2.2"))).toEqual([...times(404, 5), 429])
    expect(await statuses(behind, 1, "GET", "/nothing", from("192.0.2.2, 192.0.2.3"))).toEqual([404])
    expect(await statuses(behind, 6, "GET", "/nothing", from("2001:db8::1"))).toEqual([...times(404, 5), 429])
    // The next address of the same subscriber.
    expect(await statuses(behind, 1, "GET", "/nothing", from("2001:db8::2"))).toEqual([429])

    // A proxy that says nothing: the peer's own address, also where SQL counts by it.
    expect((await behind.request("GET", "/api/v1/gifts/ABCDE-FGHJK", from(""))).status).toBe(404)

    const open = await started({ unauthenticated: few })
    for (let n = 0; n < 5; n += 1) await open.request("GET", "/nothing", from(`192.0.2.${n}`))
    expect(await statuses(open, 1, "GET", "/nothing", from("192.0.2.99"))).toEqual([429])
  })
})

describe("a person", () => {
  test("may ask so often, over all routes together; somebody else isn't concerned, and nothing is written", async () => {
    const service = await started({ people: few })
    const userId = await db.userWith(10)
    const bearer = { authorization: `Bearer ${await auth.token(userId)}` }
    const debit = { amount: 1, appId: "chat", description: "Too often" }
    await statuses(service, 5, "GET", "/api/v1/credits/balance", { headers: bearer })
    const before = await db.books()
    expect(await statuses(service, 5, "POST", "/api/v1/credits/use", { headers: bearer, body: debit })).toEqual(
      times(429, 5)
    )
    expect(await db.books()).toEqual(before)
    const { json, headers } = await service.request("GET", "/api/v1/sync/status", { headers: bearer })
    expect([json.code, headers.get("retry-after")]).toEqual(["too_many_requests", String(json.retryAfterSeconds)])
    // Another token is the same person, as an administrator too.
    const again = { authorization: `Bearer ${await auth.token(userId, { role: "admin" })}` }
    expect(await statuses(service, 1, "GET", "/api/v1/admin/sync/x", { headers: again })).toEqual([429])
    const other = { authorization: `Bearer ${await auth.token(await db.userWith(10))}` }
    expect(await statuses(service, 1, "POST", "/api/v1/credits/use", { headers: other, body: debit })).toEqual([200])
    // A service that acts for them isn't them.
    const key = { "x-service-key": serviceKey }
    expect(
      await statuses(service, 10, "POST", "/api/v1/internal/credits/use", {
        headers: key,
        body: { ...debit, userId }
      })
    ).toEqual(times(200, 10))
  })

  test("may make so many gifts", async () => {
    const service = await started({ gifts: few })
    const userId = await db.userWith(100)
    const bearer = { authorization: `Bearer ${await auth.token(userId)}` }
    const made = await statuses(service, 8, "POST", "/api/v1/gifts", { headers: bearer, body: { totalCredits: 1 } })
    expect(made).toEqual([...times(201, 5), ...times(429, 3)])
    expect(await db.balanceRow(userId)).toMatchObject({ balance: 95 })
  })
})
