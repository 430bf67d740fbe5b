import { randomUUID } from "node:crypto"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { database } from "../support/database.ts"
import { authService, type RawRequest, serviceKey, startService } from "./support.ts"

const db = await database()
const auth = await authService()
const service = await startService(db, auth)

const userId = await db.userWith(1000)
const reserved = await db.call("credits.reserve", { userId, amount: 10, reason: "A hold" })
const bearer = { authorization: `Bearer ${await auth.token(userId)}` }
const key = { "x-service-key": serviceKey }
const headers = { ...bearer, ...key }
const internal = "/api/v1/internal/credits"

/** Sends what must be refused, as a problem. */
const refused = async (method: string, path: string, request: RawRequest) => {
  const answer = await service.request(method, path, { ...request, headers: { ...headers, ...request.headers } })
  expect(answer.headers.get("content-type")).toBe("application/problem+json")
  expect(answer.json).toMatchObject({ status: answer.status, detail: answer.json.message })
  return answer
}

// Balances, versions, every row: what a test was refused, wrote nothing. A test that writes says so.
let before: Awaited<ReturnType<typeof db.books>>
let mayWrite = false
beforeEach(async () => {
  mayWrite = false
  before = await db.books()
})
const wroteNothing = async () => {
  if (!mayWrite) expect(await db.books(), "nothing is written").toEqual(before)
}
afterEach(wroteNothing)

/** Sends what must be taken. */
const taken = async (path: string, request: RawRequest) => {
  mayWrite = true
  const answer = await service.request("POST", path, { ...request, headers: { ...headers, ...request.headers } })
  expect(answer.json).not.toHaveProperty("issues")
  expect(answer.status).toBe(200)
  return answer
}

const bearerOf = async () => `Bearer ${await auth.token(await db.userWith(100))}`
const blanks: ReadonlyArray<readonly [body: string, authorization: string]> = [
  [" ", await bearerOf()],
  ["\r\n", await bearerOf()],
  ["\ufeff", await bearerOf()]
]

const debit = { userId, amount: 1, appId: "chat", description: "One answer" }
const posts: Readonly<Record<string, object>> = {
  "/api/v1/credits/use": debit,
  [`${internal}/use`]: debit,
  [`${internal}/refund`]: { userId, amount: 1, description: "Sorry" },
  [`${internal}/grant`]: { userId, amount: 1, reason: "welcome", referenceId: "r" },
  [`${internal}/init`]: { userId: "somebody new" },
  [`${internal}/reserve`]: { userId, amount: 1, reason: "A report" },
  [`${internal}/commit`]: { reservationId: reserved.reservationId },
  [`${internal}/refund-reservation`]: { reservationId: reserved.reservationId },
  [`${internal}/use-batch`]: { items: [debit] }
}

const tooDeep = (levels: number) => JSON.parse(`${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`)

/** What is wrong with a field, whatever it is for. */
const wrong = {
  text: (max: number) => [undefined, null, 7, true, [], {}, "", "x".repeat(max + 1), "a\0b", "a\ud800b", "\udc00"],
  optionalText: (max: number) => [7, true, [], {}, "", "x".repeat(max + 1), "a\0b", "a\ud800b"],
  whole: (max: number) => [0, -1, 1.5, "1", "", true, [], {}, max + 1, 2 ** 53, 2 ** 53 + 2, 1e300, Number.MIN_VALUE],
  uuid: [7, "", "x", {}, [], randomUUID().slice(1), `${randomUUID()}0`, `{${randomUUID()}}`],
  metadata: [7, "x", true, [], [1], { "a\0": 1 }, { a: "\0" }, { a: ["\ud800"] }, tooDeep(101), { a: "x".repeat(8190) }]
}

const rules: ReadonlyArray<readonly [path: string, field: string, values: ReadonlyArray<unknown>]> = [
  ...["/api/v1/credits/use", `${internal}/use`].flatMap((path) => [
    [path, "amount", wrong.whole(1_000_000_000)] as const,
    [path, "appId", wrong.text(64)] as const,
    [path, "description", wrong.text(500)] as const,
    [path, "idempotencyKey", wrong.optionalText(255)] as const,
    [path, "metadata", wrong.metadata] as const
  ]),
  [`${internal}/use`, "userId", wrong.text(128)],
  [`${internal}/use`, "amount", [null, undefined]],
  [`${internal}/refund`, "userId", wrong.text(128)],
  [`${internal}/refund`, "amount", [null, undefined, ...wrong.whole(1_000_000_000)]],
  [`${internal}/refund`, "description", wrong.text(500)],
  [`${internal}/refund`, "appId", wrong.optionalText(64)],
  [`${internal}/refund`, "metadata", wrong.metadata],
  [`${internal}/refund`, "transactionId", wrong.uuid],
  [`${internal}/refund`, "idempotencyKey", wrong.optionalText(255)],
  [`${internal}/grant`, "userId", wrong.text(128)],
  [`${internal}/grant`, "amount", [null, undefined, ...wrong.whole(1_000_000_000)]],
  [`${internal}/grant`, "reason", wrong.text(64)],
  [`${internal}/grant`, "referenceId", wrong.text(128)],
  [`${internal}/grant`, "description", wrong.optionalText(500)],
  [`${internal}/init`, "userId", wrong.text(128)],
  [`${internal}/reserve`, "userId", wrong.text(128)],
  [`${internal}/reserve`, "amount", [null, undefined, ...wrong.whole(1_000_000_000)]],
  [`${internal}/reserve`, "reason", wrong.text(200)],
  [`${internal}/reserve`, "expiresInSeconds", wrong.whole(2_592_000)],
  [`${internal}/reserve`, "idempotencyKey", wrong.optionalText(255)],
  [`${internal}/commit`, "reservationId", [undefined, null, ...wrong.uuid]],
  [`${internal}/commit`, "amount", [11, ...wrong.whole(1_000_000_000)]],
  [`${internal}/commit`, "description", wrong.optionalText(500)],
  [`${internal}/refund-reservation`, "reservationId", [undefined, null, ...wrong.uuid]],
  [`${internal}/use-batch`, "items", [undefined, null, 7, "x", {}, [], Array.from({ length: 1001 }, () => 1)]]
]

describe("a field that breaks its rule is named", () => {
  test.each(rules)("%s: %s", async (path, field, values) => {
    for (const value of values) {
      const { status, json } = await refused("POST", path, { body: { ...posts[path], [field]: value } })
      const what = `${field}: ${JSON.stringify(value)?.slice(0, 60)}`
      expect(status, what).toBe(400)
      expect(json.code, what).toBe("invalid_request")
      expect(json.issues, what).toEqual([{ path: field, message: expect.any(String) }])
      expect(json.detail).toBe(`${field} ${json.issues[0].message}`)
    }
  })

  test("an operation stands in place of an amount, not beside it", async () => {
    for (const [more, path] of [
      [{ operation: "chat_gpt4" }, "amount"],
      [{ amount: undefined, operation: "nope" }, "operation"],
      [{ amount: undefined, operation: "x".repeat(65) }, "operation"],
      [{ amount: undefined, operation: "chat_gpt4", quantity: 0 }, "quantity"],
      [{ amount: undefined, operation: "chat_gpt4", quantity: "2" }, "quantity"],
      [{ amount: undefined, operation: "chat_gpt4", quantity: 1_000_001 }, "quantity"]
    ] as const) {
      for (const to of ["/api/v1/credits/use", `${internal}/use`, `${internal}/reserve`]) {
        const { status, json } = await refused("POST", to, { body: { ...posts[to], ...more } })
        expect([status, json.issues[0].path], JSON.stringify(more)).toEqual([400, path])
      }
    }
  })

  test("all of them at once", async () => {
    const body = { amount: "1", appId: "", description: null, metadata: [] }
    const { json } = await refused("POST", "/api/v1/credits/use", { body })
    expect(json.issues.map(({ path }: { readonly path: string }) => path).toSorted()).toEqual([
      "amount",
      "appId",
      "description",
      "metadata"
    ])
  })
})

describe("what is within the rules is taken", () => {
  test.each([
    [
      "text as long as may be",
      { appId: "a".repeat(64), description: "d".repeat(500), idempotencyKey: "k".repeat(255) }
    ],
    ["characters beyond the BMP count once", { appId: "😀".repeat(64), description: "😀".repeat(500) }],
    ["metadata of nearly 8 KiB", { metadata: { a: "x".repeat(8180) } }],
    ["metadata 100 levels deep", { metadata: tooDeep(100) }],
    ["metadata with odd keys", { metadata: { __proto__: null, constructor: 1, "": 2, toString: 3 } }],
    ["a whole number written with a point", { amount: 1.0 }],
    ["null for what is optional", { idempotencyKey: null, metadata: null, operation: null, quantity: null }],
    ["unknown fields, whatever is in them", { unknown: "\0\ud800", nested: tooDeep(1000) }]
  ])("%s", async (_what, more) => {
    expect((await taken(`${internal}/use`, { body: { ...debit, ...more } })).json.success).toBe(true)
  })

  test("metadata comes back as it was given", async () => {
    const body =
      '{"appId":"a","description":"d","amount":1,"metadata":{"__proto__":{"x":1},"n":1e2,"ü":[null,"\\u0001"]}}'
    const { json } = await taken("/api/v1/credits/use", { body })
    expect(JSON.stringify(json.transaction.metadata)).toBe('{"n":100,"ü":[null,"\\u0001"],"__proto__":{"x":1}}')
  })
})

describe("a body that is no JSON object", () => {
  const bodies: ReadonlyArray<readonly [string, string | Uint8Array | undefined]> = [
    ["nothing", undefined],
    ["an empty body", ""],
    ["blanks", "  \n"],
    ["broken JSON", '{"amount": 1'],
    ["a trailing comma", '{"amount": 1,}'],
    ["two documents", "{}{}"],
    ["NaN", '{"amount": NaN}'],
    ["a NUL as it is", '{"appId": "a\0"}'],
    ["an array", "[]"],
    ["null", "null"],
    ["a number", "1"],
    ["text", '"x"'],
    ["arrays without end", "[".repeat(60_000)],
    ["an object 10,000 levels deep", `${'{"a":'.repeat(10_000)}1${"}".repeat(10_000)}`],
    ["text that isn't UTF-8", Uint8Array.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])]
  ]
  test.each(Object.keys(posts))("%s", async (path) => {
    for (const [what, body] of bodies) {
      const response = await fetch(service.url + path, {
        method: "POST",
        headers: { ...headers, "content-type": "application/json" },
        ...(body === undefined ? {} : { body })
      })
      expect(await response.json(), what).toMatchObject({ status: 400, code: "invalid_request" })
      expect(response.status, what).toBe(400)
    }
  })

  test.each([
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/jsonp",
    "application/json; charset=latin1",
    "application/octet-stream",
    "nonsense"
  ])("of the type %s", async (type) => {
    const { status, json } = await refused("POST", `${internal}/use`, {
      body: debit,
      headers: { "content-type": type }
    })
    expect([status, json.code]).toEqual([400, "invalid_request"])
    expect(json.detail).toContain("Content-Type")
  })

  test.each([
    ["null", "The body must be a JSON object."],
    ["[]", "The body must be a JSON object."],
    ["7", "The body must be a JSON object."],
    ['{"amount": 1,}', "The body isn't well-formed JSON."],
    ["nonsense", "The body isn't well-formed JSON."],
    [`\ufeff{"a":${"[".repeat(5000)}${"]".repeat(5000)}}`, "The body must not be nested deeper than 1100 levels."]
  ])("%j is told what is wrong with it", async (body, detail) => {
    const { json } = await refused("POST", `${internal}/use`, { headers: { "content-type": "application/json" }, body })
    expect(json).toMatchObject({ detail, issues: [{ path: "", message: detail }] })
  })

  test.each([
    ["idempotencyKey", 7, "must be 1 to 255 characters"],
    ["operation", [], "must be 1 to 64 characters"],
    ["quantity", "x", "must be a whole number from 1 to 1000000"],
    ["metadata", 7, "must be a JSON object"]
  ])("an optional %s of another type gets the words of its field", async (path, value, message) => {
    const { json } = await refused("POST", `${internal}/use`, { body: { ...debit, [path]: value } })
    expect(json.issues).toEqual([{ path, message }])
  })

  test.each(blanks)("%j is no body, as nothing is", async (body, authorization) => {
    const { json } = await taken("/api/v1/sync/activate", { headers: { authorization }, body })
    expect(json.success).toBe(true)
  })

  test("no body has no type, whatever is said of it", async () => {
    const type = { "content-type": "application/x-www-form-urlencoded" }
    const { json } = await taken("/api/v1/sync/activate", { headers: type, body: "" })
    expect(json.success).toBe(true)
  })

  test.each(["application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF8"])(
    "%s is JSON",
    async (type) => {
      const { json } = await taken(`${internal}/use`, { headers: { "content-type": type }, body: debit })
      expect(json.success).toBe(true)
    }
  )
})

describe("too much", () => {
  const padded = (bytes: number) =>
    JSON.stringify({ ...debit, unknown: "" }).replace('"unknown":""', `"unknown":"${"x".repeat(bytes)}"`)
  const fill = 64 * 1024 - padded(0).length

  test("64 KiB is not", async () => {
    expect((await taken(`${internal}/use`, { body: padded(fill) })).json.success).toBe(true)
  })

  test.each([1, 100_000, 5_000_000])("%d bytes more is", async (more) => {
    const { status, json } = await refused("POST", `${internal}/use`, { body: padded(fill + more) })
    expect([status, json.code, json.limitBytes]).toEqual([413, "payload_too_large", 65536])
  })

  test("nor without saying beforehand how long it is", async () => {
    const response = await fetch(`${service.url}${internal}/use`, {
      method: "POST",
      headers: { ...headers, "content-type": "application/json" },
      body: new Blob([padded(fill + 1)]).stream(),
      duplex: "half"
    })
    expect(response.status).toBe(413)
  })

  test("a batch may have 1 MiB", async () => {
    const batch = (bytes: number) => JSON.stringify({ items: [debit], unknown: "x".repeat(bytes) })
    const size = 1024 * 1024 - batch(0).length
    expect((await refused("POST", `${internal}/use-batch`, { body: batch(size + 1) })).status).toBe(413)
    expect((await taken(`${internal}/use-batch`, { body: batch(size) })).json.results).toMatchObject([{ ok: true }])
  })
})

describe("a query or a path that breaks its rule", () => {
  const history = "/api/v1/credits/transactions"
  test.each([
    [history, "limit", ["0", "201", "-1", "1.5", "x", "", "1e2", " 1", "0x1", "99999999999999999999", "1&limit=2"]],
    [history, "offset", ["-1", "1000001", "x", "1.0"]],
    [history, "before", ["x", "", "1", `${randomUUID()}x`]],
    [history, "type", ["x", "", "Usage", "usage&type=gift"]],
    [history, "appId", ["", "%00", "x".repeat(65), "a&appId=b"]],
    [
      history,
      "from",
      [
        "x",
        "",
        "1",
        "2026",
        "2026-13-01",
        "2026-02-30",
        "2026-01-01T00:00",
        "2026-01-01T25:00:00Z",
        "0000-01-01",
        "+012026-01-01"
      ]
    ],
    [history, "to", ["yesterday", "9999-12-31T23:59:59-01:00", "1000-01-01T00:00:00%2B01:00", "2026-01-01%00"]],
    ["/api/v1/credits/usage", "from", ["x", "-infinity", "now"]],
    ["/api/v1/credits/usage", "to", ["infinity"]],
    ["/api/v1/credits/usage", "groupBy", ["month", "", "day,app", "day&groupBy=app"]],
    [`${internal}/balance/${userId}`, "at", ["x", "2026-02-29", ""]]
  ])("%s?%s", async (path, name, values) => {
    for (const value of values) {
      const { status, json } = await refused("GET", `${path}?${name}=${value}`, {})
      expect(status, value).toBe(400)
      expect(json.issues, value).toEqual([{ path: name, message: expect.any(String) }])
    }
  })

  test.each(["u".repeat(129), "u".repeat(8000), "%00", "a%00b"])("the balance of a user called %s", async (name) => {
    const { status, json } = await refused("GET", `${internal}/balance/${name}`, {})
    expect([status, json.issues[0].path]).toEqual([400, "userId"])
  })

  test.each(["%", "%zz", "%ff", "%ed%a0%80", "x%"])("a path that isn't UTF-8: %s", async (name) => {
    const { status, json } = await refused("GET", `${internal}/balance/${name}`, {})
    expect([status, json.code]).toEqual([400, "invalid_request"])
  })

  test.each([
    ["idempotency-key", "k".repeat(256)],
    ["idempotency-key", ""],
    ["idempotency-key", "ü"],
    ["x-app-id", "a".repeat(65)],
    ["x-app-id", ""]
  ])("the header %s: %s", async (name, value) => {
    const { status, json } = await refused("POST", `${internal}/use`, { body: debit, headers: { [name]: value } })
    expect([status, json.issues]).toEqual([400, [{ path: name, message: expect.any(String) }]])
  })
})

describe("an address or method that isn't there", () => {
  test.each(["/", "/nothing", "/api/v1/credits", "/API/v1/credits/balance", "/health/x", "//health"])(
    "%s",
    async (path) => {
      const { status, json } = await refused("GET", path, {})
      expect([status, json.code]).toEqual([404, "not_found"])
    }
  )

  test("not even with a method that nothing knows", async () => {
    expect((await refused("POST", "/openapiXjson", {})).status).toBe(404)
  })

  test.each([
    ["GET", "/api/v1/credits/use", "POST"],
    ["DELETE", "/api/v1/credits/use", "POST"],
    ["POST", "/api/v1/credits/balance", "GET"],
    ["PUT", `${internal}/balance/somebody`, "GET"],
    ["PATCH", "/health", "GET"],
    ["OPTIONS", "/health", "GET"]
  ])("%s %s", async (method, path, allowed) => {
    const answer = await refused(method, path, {})
    expect([answer.status, answer.json.code, answer.headers.get("allow")]).toEqual([405, "method_not_allowed", allowed])
  })
})

// The last test: it looks back on all of them.
test("none of all that was a mistake of ours", () => {
  expect(service.lines.length).toBeGreaterThan(500)
  expect(service.lines.filter((line) => line.includes('"ERROR"'))).toEqual([])
})

// In a batch in its place, or with the whole body where that is too deep to be looked through.
test.each([
  [101, 200],
  [1000, 200],
  [3000, 400],
  [9000, 400]
])("what is nested %s levels deep is refused, wherever it stands (a batch with %s)", async (levels, ofBatch) => {
  const deep = `${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`
  const item = (more: string) => `{"userId":"${userId}","amount":1,"description":"d",${more}}`
  const [withDeepMetadata, withDeepApp] = [item(`"appId":"a","metadata":${deep}`), item(`"appId":${deep}`)]
  for (const [route, body] of [
    ["use", withDeepMetadata],
    ["use", withDeepApp],
    ["refund", withDeepMetadata]
  ] as const) {
    expect((await refused("POST", `${internal}/${route}`, { body })).status).toBe(400)
  }
  const batch = { headers: { "x-service-key": serviceKey }, body: `{"items":[${withDeepMetadata}]}` }
  const { status, json } = await service.request("POST", `${internal}/use-batch`, batch)
  expect(status).toBe(ofBatch)
  expect(json.results?.[0].ok ?? false).toBe(false)
})
