import { randomUUID } from "node:crypto"
import { Option } from "effect"
import { expect, test } from "vitest"
import { database } from "../support/database.ts"
import { authService, run, startService } from "./support.ts"
import { app, returnUrls, startShop } from "./stripe-support.ts"

const db = await database()
const auth = await authService()
const { service, simulator, request, buy, stands, paymentOf } = await startShop(db, auth)

const newUser = () => `user-${randomUUID()}`

test("the packages are for everybody", async () => {
  const answer = await service.request("GET", "/api/v1/credits/packages")
  expect(answer.status).toBe(200)
  expect(answer.json[0]).toEqual({
    id: "credits_100",
    name: "100 credits",
    description: "To try it out",
    credits: 100,
    priceEuroCents: 100,
    stripePriceId: null,
    active: true,
    sortOrder: 10,
    metadata: null
  })
})

test("a card payment: bought, paid, credited", async () => {
  const userId = newUser()
  const client = await service.asUser(userId)
  const bought = await run(client.purchases.purchase({ payload: { packageId: "credits_1000" }, headers: {} }))
  expect(bought).toEqual({
    purchaseId: expect.any(String),
    amount: 1000,
    credits: 1050,
    clientSecret: expect.stringMatching(/^pi_.*_secret_/)
  })
  const { purchaseId } = bought
  expect(await stands(userId, purchaseId)).toEqual({ status: "pending", balance: 0, debt: 0 })
  const [intent] = await run(simulator.paymentIntents)
  expect(intent).toMatchObject({
    amount: 1000,
    currency: "eur",
    description: "1050 credits",
    payment_method_types: ["card", "sepa_debit"],
    metadata: { purchaseId, userId }
  })
  await run(simulator.pay(bought.clientSecret ?? ""))
  await run(simulator.webhooks.settled)
  expect(await stands(userId, purchaseId)).toEqual({ status: "completed", balance: 1050, debt: 0 })
  expect(await run(client.purchases.purchases())).toEqual([
    expect.objectContaining({ id: purchaseId, status: "completed", priceEuroCents: 1000, creditsKept: 1050 })
  ])
})

test("SEPA debit: nothing while it is processing", async () => {
  const userId = newUser()
  const { purchaseId, clientSecret } = (await buy(userId, {})).json
  await run(simulator.pay(clientSecret, { method: "sepa_debit" }))
  await run(simulator.webhooks.settled)
  expect(await stands(userId, purchaseId)).toEqual({ status: "pending", balance: 0, debt: 0 })
  await run(simulator.decideDebit(clientSecret, "succeeded"))
  await run(simulator.webhooks.settled)
  expect(await stands(userId, purchaseId)).toMatchObject({ status: "completed", balance: 1050 })
  // Weeks later the bank takes it back, which nobody can contest.
  await run(simulator.openDispute(clientSecret))
  await run(simulator.webhooks.settled)
  expect(await stands(userId, purchaseId)).toEqual({ status: "refunded", balance: 0, debt: 0 })
})

test("Checkout: a page in place of a secret", async () => {
  const userId = newUser()
  const answer = await buy(userId, returnUrls)
  expect(answer.json).toEqual({
    purchaseId: expect.any(String),
    amount: 1000,
    credits: 1050,
    checkoutUrl: expect.stringContaining(simulator.url)
  })
  const { purchaseId } = answer.json
  await run(simulator.pay(await paymentOf(purchaseId)))
  await run(simulator.webhooks.settled)
  expect(await stands(userId, purchaseId)).toMatchObject({ status: "completed", balance: 1050 })
})

test("Checkout that nobody came to", async () => {
  const userId = newUser()
  const { purchaseId } = (await buy(userId, returnUrls)).json
  await run(simulator.expire(await paymentOf(purchaseId)))
  await run(simulator.webhooks.settled)
  expect(await stands(userId, purchaseId)).toMatchObject({ status: "cancelled", balance: 0 })
})

test("Checkout with a price of Stripe's", async () => {
  const stripe = await import("stripe").then(
    ({ Stripe }) => new Stripe(simulator.apiKey, { ...simulator.connection, telemetry: false })
  )
  const made = await stripe.prices.create({ currency: "eur", unit_amount: 700, product_data: { name: "Seven" } })
  const add = (id: string, priceEuroCents: number) =>
    db.rows(
      "ops.add_package",
      { id, name: id, description: id, credits: 700, priceEuroCents, stripePriceId: made.id },
      "mana_ops"
    )
  await add("priced", 700)
  const answer = await buy(newUser(), { packageId: "priced", ...returnUrls })
  expect(answer.json).toMatchObject({ amount: 700, credits: 700, checkoutUrl: expect.any(String) })

  // A price that isn't the package's would be paid and never credited: nobody gets to its page.
  await add("mispriced", 800)
  const userId = newUser()
  const refused = await buy(userId, { packageId: "mispriced", ...returnUrls })
  expect(refused).toMatchObject({ status: 500, json: { code: "internal_error" } })
  expect(service.lines.join()).toContain("costs 700 in Stripe, the package 800")
  const open = await stripe.checkout.sessions.list({ status: "open" })
  expect(open.data.filter(({ metadata }) => metadata?.["userId"] === userId)).toEqual([])
})

test("the same key goes on with the same payment", async () => {
  const userId = newUser()
  const key = { "idempotency-key": "buy-1" }
  const first = await buy(userId, {}, key)
  const again = await buy(userId, {}, key)
  expect(again.json).toEqual(first.json)
  expect(first.headers.get("idempotency-replayed")).toBeNull()
  expect(again.headers.get("idempotency-replayed")).toBe("true")
  const checkout = await buy(userId, { ...returnUrls, idempotencyKey: "buy-2" })
  expect((await buy(userId, { ...returnUrls, idempotencyKey: "buy-2" })).json).toEqual(checkout.json)
  expect(await buy(userId, { packageId: "credits_100" }, key)).toMatchObject({
    status: 409,
    json: { code: "idempotency_key_reused", idempotencyKey: "buy-1" }
  })
})

test("ten first purchases at once make one customer", async () => {
  const userId = newUser()
  const answers = await Promise.all(Array.from({ length: 10 }, () => buy(userId, {})))
  // Whoever comes while the first is at work is told to try again.
  expect(answers.every(({ status }) => status === 200 || status === 503)).toBe(true)
  expect(answers.filter(({ status }) => status === 200).length).toBeGreaterThan(0)
  const intents = (await run(simulator.paymentIntents)).filter(({ metadata }) => metadata["userId"] === userId)
  expect(new Set(intents.map(({ customer }) => customer)).size).toBe(1)
  expect(await db.query("select customer_id from credits.stripe_customers where user_id = $1", [userId])).toEqual([
    { customer_id: intents[0]?.customer }
  ])
})

test("a verified address is the customer's, any other isn't", async () => {
  const emailOf = async (claims: object) => {
    const userId = newUser()
    const token = await auth.token(userId, { ...claims })
    await service.request("POST", "/api/v1/credits/purchase", {
      headers: { authorization: `Bearer ${token}` },
      body: { packageId: "credits_100" }
    })
    const { Stripe } = await import("stripe")
    const stripe = new Stripe(simulator.apiKey, { ...simulator.connection, telemetry: false })
    const { data } = await stripe.customers.list({ limit: 100 })
    return data.find(({ metadata }) => metadata["userId"] === userId)?.email
  }
  expect(await emailOf({ email: "ada@example.com", email_verified: true })).toBe("ada@example.com")
  expect(await emailOf({ email: "ada@example.com", email_verified: false })).toBeNull()
  // What Stripe takes for no address is no reason not to sell.
  expect(await emailOf({ email: "not an address", email_verified: true })).toBeNull()
})

test.each([
  { what: "one URL without the other", body: { successUrl: `${app}/done` }, path: "cancelUrl" },
  { what: "another origin", body: { ...returnUrls, cancelUrl: "https://evil.example/" }, path: "cancelUrl" },
  {
    what: "our origin as a user name",
    body: { ...returnUrls, successUrl: `${app}@evil.example/` },
    path: "successUrl"
  },
  { what: "another port", body: { ...returnUrls, successUrl: `${app}:8443/` }, path: "successUrl" },
  { what: "no address", body: { ...returnUrls, successUrl: "done" }, path: "successUrl" },
  { what: "a script", body: { ...returnUrls, successUrl: "javascript:alert(1)" }, path: "successUrl" },
  { what: "no package", body: { packageId: "" }, path: "packageId" }
])("$what is a 400 that names the field, and nothing is written", async ({ body, path }) => {
  // No webhook of the tests before is still on its way.
  await run(simulator.webhooks.settled)
  const before = await db.books()
  const answer = await buy(newUser(), body)
  expect(answer).toMatchObject({ status: 400, json: { code: "invalid_request", issues: [{ path }] } })
  expect(await db.books()).toEqual(before)
})

test("packages that can't be bought", async () => {
  expect(await buy(newUser(), { packageId: "none" })).toMatchObject({
    status: 404,
    json: { code: "package_not_found", packageId: "none" }
  })
  await db.rows("ops.retire_package", { id: "credits_2500" }, "mana_ops")
  expect(await buy(newUser(), { packageId: "credits_2500" })).toMatchObject({
    status: 409,
    json: { code: "package_inactive", packageId: "credits_2500" }
  })
})

test("a purchase is its buyer's to see", async () => {
  const { purchaseId } = (await buy(newUser(), {})).json
  const stranger = newUser()
  expect(await request(stranger, "GET", `/purchase/${purchaseId}`)).toMatchObject({
    status: 404,
    json: { code: "purchase_not_found", purchaseId }
  })
  expect((await request(stranger, "GET", "/purchases")).json).toEqual([])
  expect((await request(stranger, "GET", "/purchase/1")).status).toBe(400)
  expect((await service.request("GET", `/api/v1/credits/purchase/${purchaseId}`)).status).toBe(401)
})

test("fifty unpaid purchases within an hour are enough", async () => {
  const userId = newUser()
  const begin = () => db.call("stripe.begin_purchase", { userId, packageId: "credits_100", livemode: false })
  await Promise.all(Array.from({ length: 50 }, begin))
  const answer = await buy(userId, {})
  expect(answer).toMatchObject({ status: 429, json: { code: "too_many_requests" } })
  expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(3500)
})

test("a purchase that was given up says so", async () => {
  const userId = newUser()
  const body = { idempotencyKey: "given-up" }
  const { purchaseId } = await db.call("stripe.begin_purchase", {
    userId,
    packageId: "credits_1000",
    livemode: false,
    idempotencyKey: "given-up",
    caller: "user",
    now: new Date(Date.now() - 21 * 3_600_000)
  })
  expect(await buy(userId, body)).toMatchObject({ status: 409, json: { code: "purchase_closed", purchaseId } })
})

test("without Stripe's key: 503, and everything else works", async () => {
  const bare = await startService(db, auth, { settings: { stripe: Option.none() } })
  const userId = await db.userWith(5)
  const headers = { authorization: `Bearer ${await auth.token(userId)}` }
  const ask = (method: string, path: string, body?: object) =>
    bare.request(method, `/api/v1/${path}`, { headers, ...(body === undefined ? {} : { body }) })
  expect(await ask("POST", "credits/purchase", { packageId: "credits_100" })).toMatchObject({
    status: 503,
    json: { code: "payments_not_configured" }
  })
  expect(await ask("POST", "webhooks/stripe", {})).toMatchObject({
    status: 503,
    json: { code: "payments_not_configured" }
  })
  expect((await ask("GET", "credits/packages")).status).toBe(200)
  expect((await ask("GET", "credits/purchases")).json).toEqual([])
  expect((await ask("GET", "credits/balance")).json).toMatchObject({ balance: 5 })
  expect(await db.query("select from credits.purchases where user_id = $1", [userId])).toEqual([])
})
