/** Whatever breaks between us and Stripe: one payment a purchase, one customer a user. */
import { Option, Redacted } from "effect"
import { Stripe } from "stripe"
import { expect, test } from "vitest"
import { database } from "../support/database.ts"
import { keptIn } from "../support/kept.ts"
import { eventually } from "../support/wait.ts"
import { authService, run } from "./support.ts"
import { returnUrls, startShop } from "./stripe-support.ts"

const db = await database()
const auth = await authService()
const { service, simulator, buy, stands, paymentOf } = await startShop(db, auth, { connection: { timeout: 300 } })
const stripe = new Stripe(simulator.apiKey, { ...simulator.connection, telemetry: false })

const newUser = () => db.userWith(0)

/** Asks again with the same key, as an app does, until it is told what to pay. */
const buyAtLast = (userId: string, body: object) =>
  eventually(
    () => buy(userId, { ...body, idempotencyKey: "buy" }),
    ({ status }) => status === 200
  )

const seed = Number(process.env["MANA_TEST_SEED"] ?? "11")

/** All of them in `npm run test:soak`. */
const many = process.env["MANA_SOAK"] === "1" ? 200 : 80

test(`${many} purchases among random faults`, { timeout: 120_000 }, async () => {
  await run(simulator.faults.randomly({ seed, chance: 0.25 }))
  const bought: Array<{ readonly userId: string; readonly purchaseId: string }> = []
  for (let n = 0; n < many; n += 10) {
    const some = await Promise.all(
      Array.from({ length: 10 }, async (_, index) => {
        const userId = await newUser()
        const { json } = await buyAtLast(userId, (n + index) % 2 === 0 ? {} : returnUrls)
        return { userId, purchaseId: String(json.purchaseId) }
      })
    )
    bought.push(...some)
  }
  const struck = await run(simulator.faults.struck)
  await run(simulator.faults.clear)
  const kinds = new Set(struck.map(({ kind }) => kind))
  expect(kinds.size, `MANA_TEST_SEED=${seed}`).toBe(8)

  const purchases = await db.query("select user_id, id from credits.purchases")
  expect(purchases.length).toBe(many)
  // Checkout's payments come with the payer; before that there are the sessions.
  const intents = (await run(simulator.paymentIntents)).map(({ metadata }) => metadata["purchaseId"])
  const sessions: Array<string | undefined> = []
  for await (const { metadata } of stripe.checkout.sessions.list({ limit: 100 }))
    sessions.push(metadata?.["purchaseId"])
  const made = [...intents, ...sessions]
  expect(new Set(made).size, `MANA_TEST_SEED=${seed}`).toBe(made.length)
  expect(made.toSorted()).toEqual(bought.map(({ purchaseId }) => purchaseId).toSorted())

  for (const { userId, purchaseId } of bought.slice(0, 20)) {
    await run(simulator.pay(await paymentOf(purchaseId)))
    await run(simulator.webhooks.settled)
    expect(await stands(userId, purchaseId)).toMatchObject({ status: "completed", balance: 1050 })
  }
  expect((await run(simulator.paymentIntents)).length).toBe(intents.length + 10)
})

test.each(["timeout-before", "timeout-after", "reset-after", "cut-off", "429", "500", "500-after"] as const)(
  "%s while the payment is made: asked again, it is the same one",
  async (kind) => {
    const userId = await newUser()
    await run(simulator.faults.next(kind, { method: "POST", path: "/v1/payment_intents", times: 3 }))
    const { json } = await buyAtLast(userId, {})
    await run(simulator.faults.clear)
    expect((await buyAtLast(userId, {})).json).toEqual(json)
    const made = (await run(simulator.paymentIntents)).filter(({ metadata }) => metadata["userId"] === userId)
    expect(made.length).toBe(1)
    expect(json.clientSecret).toBe(made[0]?.client_secret)
  }
)

test("nothing but an answer is called one given before", async () => {
  const userId = await newUser()
  await run(simulator.faults.next("429", { method: "POST", path: "/v1/payment_intents", times: 100 }))
  for (let time = 0; time < 2; time++) {
    const { status, headers } = await buy(userId, { idempotencyKey: "never answered" })
    expect([status, headers.get("idempotency-replayed")]).toEqual([503, null])
  }
  await run(simulator.faults.clear)
  const { status, headers } = await buy(userId, { idempotencyKey: "never answered" })
  expect([status, headers.get("idempotency-replayed")]).toEqual([200, "true"])
})

test("a customer whose key got a fault for an answer", async () => {
  const userId = await newUser()
  await run(simulator.faults.next("500-after", { method: "POST", path: "/v1/customers" }))
  expect((await buy(userId, {})).status).toBe(200)
  const customers = await db.query("select customer_id from credits.stripe_customers where user_id = $1", [userId])
  expect(customers).toEqual([{ customer_id: expect.stringMatching(/^cus_/) }])
})

test("a customer whom somebody deleted in Stripe", async () => {
  const userId = await newUser()
  expect((await buy(userId, {})).status).toBe(200)
  const replace = (id: string | null) =>
    db.query("update credits.stripe_customers set customer_id = $2 where user_id = $1", [userId, id])
  for (const body of [{}, returnUrls]) {
    await replace(`cus_deleted${Object.keys(body).length}`)
    const answers = await Promise.all([buy(userId, body), buy(userId, body)])
    expect(answers.map(({ status }) => status)).toContain(200)
    const [{ customer_id: customer }] = await db.query("select * from credits.stripe_customers where user_id = $1", [
      userId
    ])
    expect(await stripe.customers.retrieve(customer)).toMatchObject({ metadata: { userId } })
  }
})

test("no database transaction is open while Stripe takes its time", async () => {
  const userId = await newUser()
  await run(simulator.faults.next("stall", { method: "POST", path: "/v1/payment_intents" }))
  const answer = buy(userId, {})
  await eventually(
    () => run(simulator.faults.stalled),
    (stalled) => stalled === 1
  )
  // An event of an earlier test may still be at work; a transaction of this call would stay as long as Stripe does.
  await eventually(
    () =>
      db.query(
        `select query from pg_stat_activity
         where datname = current_database() and application_name = 'test http' and state <> 'idle'`
      ),
    (open) => open.length === 0
  )
  // Nor is anything locked: the same user can spend, and a service can give.
  await db.call("credits.grant", { userId, amount: 5, reason: "test", referenceId: "meanwhile" })
  await run(simulator.faults.release)
  expect([200, 503]).toContain((await answer).status)
})

test("what Stripe understands and refuses is our mistake, and no secret is in the answer or the log", async () => {
  const elsewhere = await startShop(db, auth, { settings: { corsOrigins: [] } })
  // Its key isn't that of the simulator it talks to.
  const wrong = await startShop(db, auth, {
    settings: {
      stripe: Option.some({
        secretKey: Redacted.make("sk_test_of_somebody_else"),
        webhookSecrets: [Redacted.make("whsec_x")],
        connection: { ...elsewhere.simulator.connection, maxNetworkRetries: 0 }
      })
    }
  })
  const answer = await wrong.buy(await newUser(), {})
  expect(answer).toMatchObject({ status: 500, json: { code: "internal_error" } })
  expect(answer.text).not.toContain("sk_test")
  expect(wrong.service.lines.join()).toContain("Invalid API Key")
  expect(wrong.service.lines.join()).not.toContain("sk_test_of_somebody_else")
  // Of this file's other tests, who pays knows the client secret, and nobody else.
  expect(service.lines.length).toBeGreaterThan(many)
  for (const secret of [simulator.apiKey, simulator.webhookSecret, "_secret_"]) {
    expect(service.lines.filter((line) => line.includes(secret))).toEqual([])
    expect(await keptIn(db, secret)).toEqual([])
  }
})
