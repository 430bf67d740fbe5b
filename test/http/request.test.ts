import { describe, expect, test } from "vitest"
import { database } from "../support/database.ts"
import { authService, serviceKey, startService } from "./support.ts"

const db = await database()
const auth = await authService()
const service = await startService(db, auth)
const ours = "https://app.example"
const withCors = await startService(db, auth, { settings: { corsOrigins: [ours, "https://two.example"] } })
const openToAll = await startService(db, auth, { settings: { corsOrigins: ["*"] } })

describe("a request's id", () => {
  test.each(["abc", "01a1f888-c7fa-7517-acfb-38105495e9c3", "a.b:c_d", "x".repeat(128)])(
    "%s is taken over",
    async (id) => {
      const { headers } = await service.request("GET", "/health", { headers: { "x-request-id": id } })
      expect(headers.get("x-request-id")).toBe(id)
    }
  )

  test.each(["", "x".repeat(129), "a b", "a\tb", '{"a":1}', "ü"])("%j is not", async (id) => {
    const { headers } = await service.request("GET", "/health", { headers: { "x-request-id": id } })
    expect(headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/)
  })
})

describe("the log", () => {
  test("has one line a request, with what helps and nothing that doesn't belong there", async () => {
    const userId = await db.userWith(5)
    const token = await auth.token(userId, { email: "secret@example.com" })
    const secrets = [userId, token, token.slice(-20), serviceKey, "secret", "idem-secret"]
    const before = service.lines.length
    const request = async (method: string, path: string, headers: Readonly<Record<string, string>>, body?: unknown) =>
      service.request(method, path, { headers: { "x-request-id": `log-${path.length}`, ...headers }, body })
    const debit = { amount: 1, appId: "secret-app", description: "secret", metadata: { secret: 1 } }

    await request(
      "POST",
      "/api/v1/credits/use",
      { authorization: `Bearer ${token}`, "idempotency-key": "idem-secret" },
      debit
    )
    await request("GET", "/api/v1/credits/transactions?appId=secret", { authorization: `Bearer ${token}` })
    await request("GET", "/api/v1/credits/balance", { authorization: "Bearer secret" })
    await request("GET", `/api/v1/internal/credits/balance/${userId}`, { "x-service-key": serviceKey })
    await request("POST", "/api/v1/internal/credits/use", { "x-service-key": "secret" }, debit)
    await request(
      "POST",
      "/api/v1/internal/credits/use",
      { "x-service-key": serviceKey },
      { ...debit, userId: "\0secret" }
    )
    await request("GET", `/secret/${userId}`, {})

    const lines = service.lines.slice(before)
    for (const secret of secrets) expect(lines.filter((line) => line.includes(secret))).toEqual([])
    expect(
      lines.map((line) => JSON.parse(line)).map(({ message, annotations }) => ({ message, ...annotations }))
    ).toEqual(
      [
        ["POST", "/api/v1/credits/use", 200, "user", 19],
        ["GET", "/api/v1/credits/transactions", 200, "user", 41],
        ["GET", "/api/v1/credits/balance", 401, "nobody", 23],
        ["GET", "/api/v1/internal/credits/balance/:userId", 200, "service", 33 + userId.length],
        ["POST", "/api/v1/internal/credits/use", 401, "nobody", 28],
        ["POST", "/api/v1/internal/credits/use", 400, "service", 28],
        ["GET", "none", 404, "nobody", 8 + userId.length]
      ].map(([method, route, status, caller, length]) => ({
        message: "request",
        requestId: `log-${length}`,
        method,
        route,
        status,
        caller,
        ms: expect.any(Number)
      }))
    )
  })
})

describe("browsers", () => {
  const preflight = (where: typeof service, origin: string) =>
    where.request("OPTIONS", "/api/v1/credits/use", {
      headers: {
        origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, content-type, idempotency-key"
      }
    })

  test("of the origins in the settings may call, and read what they need", async () => {
    const before = await preflight(withCors, ours)
    expect(before.status).toBe(204)
    expect(before.headers.get("access-control-allow-origin")).toBe(ours)
    expect(before.headers.get("access-control-allow-methods")).toContain("POST")
    expect(before.headers.get("access-control-allow-headers")?.toLowerCase()).toContain("idempotency-key")
    expect(before.headers.get("vary")).toBe("Origin")

    const { status, headers } = await withCors.request("GET", "/api/v1/credits/balance", { headers: { origin: ours } })
    expect(status).toBe(401)
    expect(headers.get("access-control-allow-origin")).toBe(ours)
    const exposed = headers.get("access-control-expose-headers")?.split(/, ?/)
    expect(exposed).toEqual(["Idempotency-Replayed", "Link", "Retry-After", "X-Request-Id"])
    expect(headers.get("vary")).toBe("Origin")
  })

  test.each([
    "https://evil.example",
    `${ours}.evil.example`,
    "http://app.example",
    `${ours}:8443`,
    "null",
    ours.toUpperCase()
  ])("of %s may not", async (origin) => {
    const answers = [
      await preflight(withCors, origin),
      await withCors.request("GET", "/health", { headers: { origin } })
    ]
    for (const { headers } of answers) {
      expect(headers.get("access-control-allow-origin")).toBeNull()
      expect(headers.get("vary")).toBe("Origin")
    }
  })

  test("of no origin may where the settings name none", async () => {
    const { headers } = await preflight(service, ours)
    expect([...headers.keys()].filter((name) => name.startsWith("access-control"))).toEqual([])
  })

  test("of any origin may where the settings say *, without credentials", async () => {
    const { headers } = await preflight(openToAll, "https://anywhere.example")
    expect(headers.get("access-control-allow-origin")).toBe("*")
    expect(headers.get("access-control-allow-credentials")).toBeNull()
  })
})

test("answers aren't kept by anybody, nor taken for something else", async () => {
  for (const path of ["/health", "/api/v1/credits/balance", "/nothing", "/openapi.json", "/docs"]) {
    const { headers } = await service.request("GET", path)
    expect(headers.get("cache-control"), path).toBe("no-store")
    expect(headers.get("x-content-type-options"), path).toBe("nosniff")
  }
})

test("HEAD answers as GET, without the body", async () => {
  const { status, text, headers } = await service.request("HEAD", "/health")
  expect([status, text, headers.get("content-type")]).toEqual([200, "", "application/json"])
})
