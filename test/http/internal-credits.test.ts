import { randomUUID } from "node:crypto"
import { expect, test } from "vitest"
import { database } from "../support/database.ts"
import { connect } from "./connection.ts"
import { authService, failure, run, serviceKey, startService } from "./support.ts"

const db = await database()
const auth = await authService()
const service = await startService(db, auth)

const client = service.asService().internalCredits
const debit = { appId: "chat", description: "One answer" }
const base = "/api/v1/internal/credits"

const request = (path: string, body: unknown, headers: Readonly<Record<string, string>> = {}) =>
  service.request("POST", `${base}/${path}`, { headers: { "x-service-key": serviceKey, ...headers }, body })

const callerOf = async (transactionId: string) => {
  const [row] = await db.query("select caller, app_id from credits.transactions where id = $1", [transactionId])
  return row
}

test("use takes from any user, in the name of the calling app", async () => {
  const userId = await db.userWith(10)
  const { success, transaction, newBalance } = await run(
    client.use({ payload: { ...debit, userId, amount: 4 }, headers: { "x-app-id": "chat" } })
  )
  expect({ success, newBalance }).toEqual({ success: true, newBalance: { balance: 6, totalSpent: 4 } })
  expect(await callerOf(transaction.id)).toEqual({ caller: "service:chat", app_id: "chat" })

  const nameless = await request("use", { ...debit, userId, amount: 1 })
  expect(await callerOf(nameless.json.transaction.id)).toMatchObject({ caller: "service" })
})

test("the same key of two apps is two keys", async () => {
  const userId = await db.userWith(10)
  const body = { ...debit, userId, amount: 1, idempotencyKey: "k" }
  for (const app of ["one", "two"]) {
    const { headers } = await request("use", body, { "x-app-id": app })
    expect(headers.get("idempotency-replayed")).toBeNull()
  }
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 8 })
})

test("a balance, now and at a time", async () => {
  const userId = await db.userWith(10)
  const { transaction } = await run(client.use({ payload: { ...debit, userId, amount: 4 }, headers: {} }))
  const balance = (query: { readonly at?: string }) => run(client.balance({ params: { userId }, query, headers: {} }))
  expect(await balance({})).toEqual({ balance: 6, held: 0, debt: 0, totalEarned: 10, totalSpent: 4 })
  expect(await balance({ at: transaction.createdAt })).toMatchObject({ balance: 6 })
  expect(await balance({ at: "2020-01-01" })).toMatchObject({ balance: 0, totalEarned: 0 })
})

test.each(["a;b", "a/b", "ä ö%?#", "😀".repeat(128), "__proto__"])(
  "the balance of a user called %j",
  async (userId) => {
    await db.call("credits.grant", { userId, amount: 3, reason: "test", referenceId: "first" })
    const balance = (name: string) =>
      service.request("GET", `${base}/balance/${name}`, { headers: { "x-service-key": serviceKey } })
    expect((await balance(encodeURIComponent(userId))).json).toMatchObject({ balance: 3 })
  }
)

// A fetch sends no hash.
test.each(["x;y", "x#y", "x#/../y;z"])("%s in a path doesn't make it somebody else's", async (name) => {
  await db.call("credits.grant", { userId: "x", amount: 1, reason: "test", referenceId: "first" })
  const { write, ended } = await connect(service.port)
  write(`GET ${base}/balance/${name} HTTP/1.1\r\nHost: x\r\nX-Service-Key: ${serviceKey}\r\nConnection: close\r\n\r\n`)
  expect(await ended()).not.toContain('"balance":1')
})

test("a semicolon or a hash in a path is one of the name's", async () => {
  await db.call("credits.grant", { userId: "p;q#r", amount: 2, reason: "test", referenceId: "first" })
  const { write, ended } = await connect(service.port)
  write(`GET ${base}/balance/p;q#r HTTP/1.1\r\nHost: x\r\nX-Service-Key: ${serviceKey}\r\nConnection: close\r\n\r\n`)
  expect(await ended()).toContain('"balance":2')
})

test("a batch answers in the order asked, each item for itself", async () => {
  const rich = await db.userWith(10)
  const poor = await db.userWith(1)
  const items = [
    { ...debit, userId: rich, amount: 4 },
    { ...debit, userId: poor, amount: 2 },
    "no debit at all",
    { ...debit, userId: rich, amount: 1.5, appId: "nul\0" },
    { ...debit, userId: rich, operation: "no such operation" },
    { ...debit, userId: rich, metadata: { "\ud800": 1 }, amount: 1 },
    { ...debit, userId: rich, operation: "chat_gpt4", ignored: "\0" }
  ]
  const { status, json } = await request("use-batch", { items })
  expect(status).toBe(200)
  const problem = (code: string, facts: object) => ({
    ok: false,
    error: {
      type: `https://credits.mana.how/docs#${code}`,
      title: expect.any(String),
      detail: expect.any(String),
      message: expect.any(String),
      code,
      ...facts
    }
  })
  const malformed = (...issues: ReadonlyArray<readonly [path: string, message: string]>) =>
    problem("invalid_request", { status: 400, issues: issues.map(([path, message]) => ({ path, message })) })
  expect(json.results).toEqual([
    { ok: true, transaction: expect.objectContaining({ amount: -4 }), newBalance: { balance: 6, totalSpent: 4 } },
    problem("insufficient_credits", { status: 402, required: 2, available: 1 }),
    malformed(["", "must be an object"]),
    malformed(
      ["amount", "must be a whole number from 1 to 1000000000"],
      ["appId", "must not hold NUL or unpaired surrogates"]
    ),
    malformed(["operation", "is not on the price list: see credits.pricing()"]),
    malformed(["metadata", "must not hold NUL or unpaired surrogates"]),
    { ok: true, transaction: expect.objectContaining({ amount: -5 }), newBalance: { balance: 1, totalSpent: 9 } }
  ])
})

test("a batch by the typed client", async () => {
  const userId = await db.userWith(10)
  const { results } = await run(
    client.useBatch({ payload: { items: [{ ...debit, userId, amount: 4 }, { userId }] }, headers: {} })
  )
  expect(results).toMatchObject([{ ok: true }, { ok: false, error: { _tag: "invalid_request" } }])
})

test("a batch of nothing but malformed items is answered too", async () => {
  const { results } = await run(client.useBatch({ payload: { items: [1] }, headers: {} }))
  expect(results).toMatchObject([{ ok: false }])
})

test("the key of a batch makes each of its items happen once", async () => {
  const userId = await db.userWith(100)
  const items = [
    { ...debit, userId, amount: 1 },
    { ...debit, userId, amount: 2, idempotencyKey: "own" }
  ]
  const key = { "idempotency-key": "batch" }
  const first = await request("use-batch", { items }, key)
  expect(first.headers.get("idempotency-replayed")).toBeNull()
  const replay = await request("use-batch", { items }, key)
  expect(replay.json).toEqual(first.json)
  expect(replay.headers.get("idempotency-replayed")).toBe("true")
  // One item more: what was done stays done.
  const longer = await request("use-batch", { items: [...items, { ...debit, userId, amount: 3 }] }, key)
  expect(longer.headers.get("idempotency-replayed")).toBeNull()
  expect(longer.json.results.slice(0, 2)).toEqual(first.json.results)
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 94, version: 4 })
  // The same in the body.
  const inBody = await request("use-batch", { items, idempotencyKey: "batch" })
  expect(inBody.json).toEqual(first.json)
  expect(inBody.headers.get("idempotency-replayed")).toBe("true")
  expect((await request("use-batch", { items, idempotencyKey: "another" }, key)).json).toMatchObject({
    status: 400,
    issues: [{ path: "idempotency-key" }]
  })
})

test("the key of a batch leaves room for the places of 1000 items", async () => {
  const userId = await db.userWith(100)
  const items = Array.from({ length: 1000 }, (_, index) => ({ ...debit, userId, amount: index < 999 ? 0 : 1 }))
  const { json } = await request("use-batch", { items }, { "idempotency-key": "k".repeat(251) })
  expect(json.results.at(-1)).toMatchObject({ ok: true })
  const before = await db.books()
  for (const [headers, body, path] of [
    [{ "idempotency-key": "k".repeat(252) }, {}, "idempotency-key"],
    [{}, { idempotencyKey: "k".repeat(252) }, "idempotencyKey"]
  ] as const) {
    const refused = await request("use-batch", { items, ...body }, headers)
    expect([refused.status, refused.json.issues]).toEqual([400, [{ path, message: "must be 1 to 251 characters" }]])
  }
  expect(await db.books()).toEqual(before)
})

test.each(['"metadata":{"x":1e999}', '"amount":1e999', '"metadata":7'])(
  "an item of a batch with %s spoils no other",
  async (wrong) => {
    const userId = await db.userWith(10)
    const item = (more: string) => `{"userId":"${userId}","appId":"a","description":"d","amount":1,${more}}`
    const { status, json } = await service.request("POST", `${base}/use-batch`, {
      headers: { "x-service-key": serviceKey, "content-type": "application/json" },
      body: `{"items":[${item('"quantity":null')},${item(wrong)},${item('"unknown":1e999')}]}`
    })
    expect(status).toBe(200)
    expect(json.results.map(({ ok }: { readonly ok: boolean }) => ok)).toEqual([true, false, true])
    expect(await db.balanceRow(userId)).toMatchObject({ balance: 8 })
  }
)

test("a batch of 1000 debits fits", async () => {
  const userId = await db.userWith(1000)
  const items = Array.from({ length: 1000 }, () => ({ ...debit, userId, amount: 1 }))
  const { status, json } = await request("use-batch", { items })
  expect(status).toBe(200)
  expect(json.results.every(({ ok }: { readonly ok: boolean }) => ok)).toBe(true)
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 0, version: 1001 })
})

test("refund, freely and against a charge", async () => {
  const userId = await db.userWith(10)
  const { transaction: charge } = await run(client.use({ payload: { ...debit, userId, amount: 4 }, headers: {} }))
  const refund = (amount: number, transactionId?: string) =>
    client.refund({
      payload: { userId, amount, description: "Sorry", ...(transactionId === undefined ? {} : { transactionId }) },
      headers: { "x-app-id": "chat" }
    })
  expect(await run(refund(3, charge.id))).toMatchObject({
    success: true,
    transaction: { type: "refund", amount: 3, relatedTransactionId: charge.id, appId: "chat" },
    newBalance: { balance: 9 }
  })
  expect(await failure(refund(2, charge.id))).toMatchObject({
    _tag: "refund_exceeds_charge",
    charged: 4,
    refunded: 3,
    refundable: 1
  })
  expect(await failure(refund(1, randomUUID()))).toMatchObject({ _tag: "transaction_not_found", status: 404 })
  expect(await run(refund(1))).toMatchObject({ newBalance: { balance: 10 } })

  const body = { userId, amount: 1, description: "Sorry", idempotencyKey: "k" }
  const first = await request("refund", body)
  const replay = await request("refund", body)
  expect(replay.json).toEqual(first.json)
  expect(replay.headers.get("idempotency-replayed")).toBe("true")
  expect((await request("refund", { ...body, amount: 2 })).json).toMatchObject({ code: "idempotency_key_reused" })
})

test("grant, once per reference", async () => {
  const userId = randomUUID()
  const grant = client.grant({ payload: { userId, amount: 5, reason: "welcome", referenceId: "r" }, headers: {} })
  const first = await run(grant)
  expect(first).toEqual({ ok: true, alreadyGranted: false, newBalance: 5, transactionId: expect.any(String) })
  expect(await run(grant)).toEqual({ ...first, alreadyGranted: true })
})

test("init opens an account once", async () => {
  const userId = randomUUID()
  const init = client.init({ payload: { userId }, headers: {} })
  const zeros = { balance: 0, held: 0, debt: 0, totalEarned: 0, totalSpent: 0 }
  expect(await run(init)).toEqual(zeros)
  const before = await db.books()
  expect(await run(init)).toEqual(zeros)
  expect(await db.books()).toEqual(before)
})

test("reserve and commit less: the rest is free again", async () => {
  const userId = await db.userWith(100)
  const held = await run(
    client.reserve({
      payload: { userId, operation: "research_deep", reason: "A report", expiresInSeconds: 60 },
      headers: { "x-app-id": "research" }
    })
  )
  expect(held).toEqual({
    reservationId: expect.any(String),
    balance: 75,
    expiresAt: expect.stringMatching(/Z$/)
  })
  const { reservationId } = held
  const first = await request("commit", { reservationId, amount: 20 })
  expect(first.json).toEqual({ success: true, transactionId: expect.any(String), balance: 80 })
  expect(await callerOf(first.json.transactionId)).toEqual({ caller: "service", app_id: "research" })
  const again = await request("commit", { reservationId, amount: 20 })
  expect(again.json).toEqual(first.json)
  expect(again.headers.get("idempotency-replayed")).toBe("true")
  expect(await failure(client.commit({ payload: { reservationId, amount: 21 }, headers: {} }))).toMatchObject({
    _tag: "reservation_closed",
    status: 409,
    reservationStatus: "committed"
  })
  expect(await failure(client.refundReservation({ payload: { reservationId }, headers: {} }))).toMatchObject({
    _tag: "reservation_closed"
  })
})

test("reserve and give back", async () => {
  const userId = await db.userWith(100)
  const body = { userId, amount: 30, reason: "A report" }
  const held = await request("reserve", body, { "idempotency-key": "k" })
  expect(held.json.balance).toBe(70)
  const replay = await request("reserve", body, { "idempotency-key": "k" })
  expect(replay.json).toEqual(held.json)
  expect(replay.headers.get("idempotency-replayed")).toBe("true")
  const { reservationId } = held.json
  const first = await request("refund-reservation", { reservationId })
  expect(first.json).toEqual({ success: true, balance: 100 })
  const again = await request("refund-reservation", { reservationId })
  expect(again.json).toEqual(first.json)
  expect(again.headers.get("idempotency-replayed")).toBe("true")
  expect(await failure(client.reserve({ payload: { ...body, amount: 101 }, headers: {} }))).toMatchObject({
    _tag: "insufficient_credits",
    required: 101,
    available: 100
  })
})

test.each(["commit", "refund-reservation"])("%s of what was never reserved", async (path) => {
  const reservationId = randomUUID()
  expect((await request(path, { reservationId })).json).toMatchObject({
    status: 404,
    code: "reservation_not_found",
    reservationId
  })
})
