import { randomUUID } from "node:crypto"
import { expect, test } from "vitest"
import { database } from "../support/database.ts"
import { authService, failure, run, startService } from "./support.ts"

const db = await database()
const auth = await authService()
const service = await startService(db, auth)

const debit = { appId: "chat", description: "One answer" }

/** A person with credits, and the client of the app they sit at. */
const person = async (credits: number) => {
  const userId = await db.userWith(credits)
  const client = await service.asUser(userId)
  const bearer = { authorization: `Bearer ${await auth.token(userId)}` }
  return { userId, client: client.credits, bearer }
}

test("one debit, from the request to the row", async () => {
  const { userId, client } = await person(100)
  const answer = await run(client.use({ payload: { ...debit, amount: 30, metadata: { model: "ü" } }, headers: {} }))
  expect(answer).toEqual({
    success: true,
    transaction: {
      id: expect.any(String),
      userId,
      type: "usage",
      status: "completed",
      amount: -30,
      balanceBefore: 100,
      balanceAfter: 70,
      ...debit,
      metadata: { model: "ü" },
      idempotencyKey: null,
      relatedTransactionId: null,
      createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      completedAt: expect.any(String)
    },
    newBalance: { balance: 70, totalSpent: 30 }
  })
  expect(
    await db.query("select amount, caller from credits.transactions where id = $1", [answer.transaction.id])
  ).toEqual([{ amount: -30, caller: "user" }])
  expect(await run(client.balance())).toEqual({ balance: 70, held: 0, debt: 0, totalEarned: 100, totalSpent: 30 })
})

test("an operation is charged at the price of the list", async () => {
  const { client } = await person(100)
  const { transaction } = await run(
    client.use({ payload: { ...debit, operation: "chat_gpt4", quantity: 3 }, headers: {} })
  )
  expect(transaction).toMatchObject({ amount: -15, metadata: { operation: "chat_gpt4", quantity: 3 } })
})

test("a new user has zeros, and asking writes nothing", async () => {
  const client = await service.asUser(randomUUID())
  const before = await db.books()
  expect(await run(client.credits.balance())).toEqual({ balance: 0, held: 0, debt: 0, totalEarned: 0, totalSpent: 0 })
  expect(await run(client.credits.transactions({ query: {} }))).toEqual([])
  expect(await run(client.credits.usage({ query: {} }))).toEqual([])
  expect(await db.books()).toEqual(before)
})

test("a debit beyond the balance says what is needed and what is there", async () => {
  const { client, bearer } = await person(5)
  const payload = { ...debit, amount: 6 }
  expect(await failure(client.use({ payload, headers: {} }))).toMatchObject({
    _tag: "insufficient_credits",
    status: 402,
    required: 6,
    available: 5
  })
  const { status, headers, json } = await service.request("POST", "/api/v1/credits/use", {
    headers: bearer,
    body: payload
  })
  expect(status).toBe(402)
  expect(headers.get("content-type")).toBe("application/problem+json")
  const detail = "Not enough credits: 6 needed, 5 available. Top up and try again."
  expect(json).toEqual({
    type: "https://credits.mana.how/docs#insufficient_credits",
    title: "Not enough credits",
    status: 402,
    detail,
    code: "insufficient_credits",
    message: detail,
    required: 6,
    available: 5
  })
})

test("a replay gets the first answer and says so, whether the key is in the body or in the header", async () => {
  const { userId, bearer } = await person(100)
  const body = { ...debit, amount: 7 }
  const use = (more: object, headers: object = {}) =>
    service.request("POST", "/api/v1/credits/use", { headers: { ...bearer, ...headers }, body: { ...body, ...more } })

  const first = await use({ idempotencyKey: "k" })
  expect(first.headers.get("idempotency-replayed")).toBeNull()
  for (const replay of [
    await use({ idempotencyKey: "k" }),
    await use({}, { "idempotency-key": "k" }),
    await use({ idempotencyKey: null }, { "idempotency-key": "k" }),
    await use({ idempotencyKey: "k" }, { "idempotency-key": "k" })
  ]) {
    expect(replay.status).toBe(200)
    expect(replay.json).toEqual(first.json)
    expect(replay.headers.get("idempotency-replayed")).toBe("true")
  }
  const reused = await use({ idempotencyKey: "k", amount: 8 })
  expect(reused.json).toMatchObject({ status: 409, code: "idempotency_key_reused", idempotencyKey: "k" })
  const two = await use({ idempotencyKey: "k" }, { "idempotency-key": "other" })
  expect(two.json).toMatchObject({ status: 400, issues: [{ path: "idempotency-key" }] })
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 93, version: 2 })
})

test("history comes newest first, page by page, by the links", async () => {
  const { userId, client, bearer } = await person(100)
  for (const amount of [1, 2, 3, 4, 5]) {
    await run(client.use({ payload: { ...debit, amount, appId: amount % 2 === 0 ? "even" : "odd" }, headers: {} }))
  }
  const pages: Array<ReadonlyArray<number>> = []
  let path: string | undefined = "/api/v1/credits/transactions?limit=2&type=usage&offset=1"
  while (path !== undefined) {
    const page: Awaited<ReturnType<typeof service.request>> = await service.request("GET", path, { headers: bearer })
    pages.push(page.json.map(({ amount }: { readonly amount: number }) => amount))
    const next: string | undefined = /^<([^>]+)>; rel="next"$/.exec(page.headers.get("link") ?? "")?.[1]
    expect(next?.startsWith(service.baseUrl) ?? true).toBe(true)
    path = next?.slice(service.baseUrl.length)
  }
  expect(pages).toEqual([
    [-4, -3],
    [-2, -1]
  ])

  const odd = await run(client.transactions({ query: { appId: "odd" } }))
  expect(odd.map(({ amount }) => amount)).toEqual([-5, -3, -1])
  expect(await run(client.transactions({ query: { type: "grant" } }))).toMatchObject([{ userId, amount: 100 }])
  const last = odd[0]?.createdAt ?? ""
  expect(await run(client.transactions({ query: { from: last } }))).toMatchObject([{ amount: -5 }])
  expect(await run(client.transactions({ query: { to: "2020-01-01" } }))).toEqual([])
})

test("history doesn't page from somebody else's row", async () => {
  const one = await person(10)
  const other = await person(10)
  const [row] = await run(one.client.transactions({ query: {} }))
  expect(await failure(other.client.transactions({ query: { before: row?.id ?? "" } }))).toMatchObject({
    _tag: "transaction_not_found",
    status: 404
  })
})

test("usage by day and app", async () => {
  const { client } = await person(100)
  for (const appId of ["a", "b", "a"]) {
    await run(client.use({ payload: { ...debit, amount: 2, appId }, headers: {} }))
  }
  expect(await run(client.usage({ query: { groupBy: "app" } }))).toEqual([
    { appId: "a", creditsUsed: 4, count: 2 },
    { appId: "b", creditsUsed: 2, count: 1 }
  ])
  expect(await run(client.usage({ query: { groupBy: "day" } }))).toEqual([
    { day: expect.stringMatching(/^\d{4}-\d\d-\d\d$/), creditsUsed: 6, count: 3 }
  ])
  expect(await run(client.usage({ query: {} }))).toHaveLength(2)
})

test("metadata that psql wrote beyond what JSON numbers hold in JavaScript is shown all the same", async () => {
  const userId = await db.userWith(5)
  await db.query(`select credits.use($1, 1, 'chat', 'psql', p_metadata => '{"x":1e400}')`, [userId])
  const { status, json } = await service.request("GET", "/api/v1/credits/transactions", {
    headers: { authorization: `Bearer ${await auth.token(userId)}` }
  })
  expect([status, json[0].metadata]).toEqual([200, { x: null }])
})

test("the price list is for everybody", async () => {
  const { status, json } = await service.request("GET", "/api/v1/credits/pricing")
  expect(status).toBe(200)
  expect(json[0]).toEqual({
    operation: "chat_gpt4",
    name: "AI chat, GPT-4",
    description: "One answer by GPT-4",
    category: "ai",
    app: "chat",
    credits: 5,
    unit: "message"
  })
})
