import * as http from "node:http"
import { Effect, Layer, Option, Redacted, References } from "effect"
import { Stripe } from "stripe"
import { afterAll, beforeEach, expect, test } from "vitest"
import { AppSettings } from "../../src/config.ts"
import * as Database from "../../src/database/database.ts"
import { applyEvent } from "../../src/stripe/events.ts"
import { reconcile } from "../../src/stripe/reconcile.ts"
import { layer as payments } from "../../src/stripe/stripe.ts"
import { authService, run } from "../http/support.ts"
import { returnUrls, startShop, stripeSettings } from "../http/stripe-support.ts"
import { database } from "../support/database.ts"
import { settings } from "../support/settings.ts"
import { begin, paymentIntent } from "../support/stripe.ts"

const db = await database()
const auth = await authService()

const threeDays = 3 * 86_400_000
/** How far Stripe's clock is behind, in milliseconds: what happens there happened that long ago. */
let behind = 0
const { simulator, buy, stands, paymentOf, request } = await startShop(db, auth, {
  simulator: { now: () => Date.now() - behind },
  connection: { timeout: 500 }
})
const stripe = new Stripe(simulator.apiKey, { ...simulator.connection, telemetry: false })

beforeEach(async () => {
  behind = 0
  await run(simulator.faults.clear)
  await run(simulator.webhooks.mode("deliver"))
})

const asWorker = Database.layer({
  url: Redacted.make(db.urlAs("mana_worker")),
  role: "mana_worker",
  maxConnections: 2,
  applicationName: "test reconcile",
  statementTimeout: "10 seconds",
  connectTimeout: "2 seconds"
})

const told = (event: object) => run(Effect.provide(applyEvent(event), asWorker))

/** What the cron asks for, on the worker's role. */
const reconciled = (connection: object = {}) =>
  run(
    reconcile.pipe(
      Effect.provide(payments),
      Effect.provide(
        Layer.effect(
          AppSettings,
          Effect.map(settings({}), (all) => ({
            ...all,
            stripe: Option.some(stripeSettings(simulator, { timeout: 500, ...connection }))
          }))
        )
      ),
      Effect.provide(asWorker),
      Effect.provideService(References.MinimumLogLevel, "Error")
    )
  )

/** As if the quarter of an hour were over. */
const due = (purchaseId: string) =>
  db.query("update credits.purchases set next_check_at = now() where id = $1", [purchaseId])

const newUser = () => db.userWith(0)

test("three days without a single webhook end with the right balances", async () => {
  await run(simulator.webhooks.mode("lose"))
  behind = threeDays
  const kinds = ["paid", "sepa", "bounced", "refunded", "lost", "won", "abandoned"] as const
  const bought = await Promise.all(
    kinds.map(async (kind) => {
      const userId = await newUser()
      const { purchaseId } = (await buy(userId, kind === "abandoned" ? returnUrls : {})).json
      return { kind, userId, purchaseId, payment: await paymentOf(purchaseId) }
    })
  )
  await db.query("update credits.purchases set created_at = created_at - interval '3 days'")
  const happened: Record<(typeof kinds)[number], (payment: string) => Promise<unknown>> = {
    paid: (payment) => run(simulator.pay(payment)),
    sepa: async (payment) => {
      await run(simulator.pay(payment, { method: "sepa_debit" }))
      behind = 3_600_000
      await run(simulator.decideDebit(payment, "succeeded"))
    },
    bounced: async (payment) => {
      await run(simulator.pay(payment, { method: "sepa_debit" }))
      await run(simulator.decideDebit(payment, "failed"))
    },
    refunded: async (payment) => {
      await run(simulator.pay(payment))
      await stripe.refunds.create({ payment_intent: payment, amount: 400 })
    },
    lost: async (payment) => {
      await run(simulator.pay(payment))
      const { id } = await run(simulator.openDispute(payment))
      await run(simulator.closeDispute(id, "lost"))
    },
    won: async (payment) => {
      await run(simulator.pay(payment))
      const { id } = await run(simulator.openDispute(payment))
      await run(simulator.closeDispute(id, "won"))
    },
    // Checkout gives up after a day.
    abandoned: () => Promise.resolve()
  }
  for (const { kind, payment } of bought) await happened[kind](payment)
  const ends = async () =>
    Object.fromEntries(
      await Promise.all(bought.map(async ({ kind, userId, purchaseId }) => [kind, await stands(userId, purchaseId)]))
    )
  expect(Object.values(await ends())).toEqual(kinds.map(() => ({ status: "pending", balance: 0, debt: 0 })))

  behind = 0
  await reconciled()
  const right = {
    paid: { status: "completed", balance: 1050, debt: 0 },
    sepa: { status: "completed", balance: 1050, debt: 0 },
    bounced: { status: "failed", balance: 0, debt: 0 },
    refunded: { status: "completed", balance: 630, debt: 0 },
    lost: { status: "refunded", balance: 0, debt: 0 },
    won: { status: "completed", balance: 1050, debt: 0 },
    abandoned: { status: "cancelled", balance: 0, debt: 0 }
  }
  expect(await ends()).toEqual(right)

  // And all of them at last, the wrong way round.
  for (const { id } of (await run(simulator.events)).toReversed()) await run(simulator.webhooks.deliver(id))
  await reconciled()
  expect(await ends()).toEqual(right)
  expect(await db.rows("ops.kept_events", {}, "mana_ops")).toEqual([])
})

test("a purchase whose payment was made and whose answer got lost", async () => {
  const userId = await newUser()
  await run(simulator.faults.next("timeout-after", { method: "POST", path: "/v1/payment_intents" }))
  const answer = await buy(userId, {})
  expect(answer).toMatchObject({ status: 503, json: { code: "unavailable" } })
  expect(answer.headers.get("retry-after")).toBe("5")
  const [{ id: purchaseId }] = await db.query("select id from credits.purchases where user_id = $1", [userId])
  expect(await paymentOf(purchaseId)).toBeNull()
  await due(purchaseId)
  await reconciled()
  const payment = await paymentOf(purchaseId)
  expect(payment).toMatch(/^pi_/)
  await run(simulator.pay(payment))
  await run(simulator.webhooks.settled)
  expect(await stands(userId, purchaseId)).toMatchObject({ status: "completed", balance: 1050 })
})

test("a Checkout whose answer got lost", async () => {
  const userId = await newUser()
  await run(simulator.faults.next("timeout-after", { method: "POST", path: "/v1/checkout/sessions" }))
  expect((await buy(userId, returnUrls)).status).toBe(503)
  const [{ id: purchaseId }] = await db.query("select id from credits.purchases where user_id = $1", [userId])
  await due(purchaseId)
  await reconciled()
  await run(simulator.pay(await paymentOf(purchaseId)))
  await run(simulator.webhooks.settled)
  expect(await stands(userId, purchaseId)).toMatchObject({ status: "completed", balance: 1050 })
})

test("a purchase that Stripe never heard of is given up after a day", async () => {
  const userId = await newUser()
  await run(simulator.faults.next("timeout-before", { method: "POST", path: "/v1/payment_intents" }))
  expect((await buy(userId, {})).status).toBe(503)
  const [{ id: purchaseId }] = await db.query("select id from credits.purchases where user_id = $1", [userId])
  await due(purchaseId)
  await reconciled()
  expect(await stands(userId, purchaseId)).toMatchObject({ status: "pending" })
  await db.query("update credits.purchases set created_at = created_at - interval '25 hours' where id = $1", [
    purchaseId
  ])
  await due(purchaseId)
  await reconciled()
  expect(await stands(userId, purchaseId)).toMatchObject({ status: "cancelled" })
})

test("pending purchases are asked about by what Stripe says of them now", async () => {
  // Nothing but the questions: the list of events is already read to its end, and to come.
  const ahead = new Date(Date.now() + 3_600_000)
  await db.call("stripe.events_until", { livemode: false, until: ahead, now: ahead })
  await run(simulator.webhooks.mode("lose"))
  const states = {
    untouched: { happens: () => Promise.resolve(), status: "pending" },
    paid: { happens: (it: string) => run(simulator.pay(it)), status: "completed" },
    processing: { happens: (it: string) => run(simulator.pay(it, { method: "sepa_debit" })), status: "pending" },
    declined: { happens: (it: string) => run(simulator.decline(it)), status: "failed" },
    cancelled: { happens: (it: string) => run(simulator.cancel(it)), status: "cancelled" }
  }
  for (const [what, { happens, status }] of Object.entries(states)) {
    const userId = await newUser()
    const { purchaseId } = (await buy(userId, {})).json
    await happens(await paymentOf(purchaseId))
    await due(purchaseId)
    await reconciled()
    expect((await stands(userId, purchaseId)).status, what).toBe(status)
  }
  for (const [happens, status] of [
    [(it: string) => run(simulator.pay(it)), "completed"],
    [(it: string) => run(simulator.expire(it)), "cancelled"]
  ] as const) {
    const userId = await newUser()
    const { purchaseId } = (await buy(userId, returnUrls)).json
    await happens(await paymentOf(purchaseId))
    await due(purchaseId)
    await reconciled()
    expect((await stands(userId, purchaseId)).status).toBe(status)
  }
  await db.query("update credits.stripe_watermarks set events_until = now() - interval '1 minute'")
})

test("more events than a look takes at once", async () => {
  await reconciled()
  await run(simulator.webhooks.mode("lose"))
  const userId = await newUser()
  const { purchaseId } = (await buy(userId, {})).json
  const payment = await paymentOf(purchaseId)
  // Over half a day, 600 of them: 6 pages.
  for (let n = 0; n < 600; n += 1) {
    behind = 43_200_000 - n * 60_000
    await run(simulator.decline(payment))
  }
  behind = 0
  await run(simulator.pay(payment))
  await db.query("update credits.stripe_watermarks set events_until = now() - interval '13 hours'")
  await reconciled()
  expect(await stands(userId, purchaseId)).toMatchObject({ status: "completed", balance: 1050 })
  const [{ count }] = await db.query(
    "select count(*) from credits.stripe_events where purchase_id = $1 and outcome = 'applied'",
    [purchaseId]
  )
  expect(count).toBe(601)
})

/** Stripe's list of events in another version of the API than ours, as an account set up years ago has it. */
const oldAccount = async () => {
  const proxy = http.createServer((asked, answer) => {
    const { host: _, ...headers } = asked.headers
    const forwarded = http.request(
      {
        host: simulator.connection.host,
        port: simulator.connection.port,
        method: asked.method,
        path: asked.url,
        headers
      },
      (response) => {
        let text = ""
        response.on("data", (chunk) => (text += String(chunk)))
        response.on("end", () => {
          const old = asked.url?.startsWith("/v1/events")
            ? text.replaceAll(`"api_version":"${Stripe.API_VERSION}"`, '"api_version":"2019-01-01"')
            : text
          answer.writeHead(response.statusCode ?? 0, { "content-type": "application/json" }).end(old)
        })
      }
    )
    asked.pipe(forwarded)
  })
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve))
  afterAll(() => new Promise((resolve) => proxy.close(resolve)))
  const address = proxy.address()
  return { port: typeof address === "object" && address !== null ? address.port : 0 }
}

test("missed events in another version of the API are read again in ours", async () => {
  await run(simulator.webhooks.mode("lose"))
  const userId = await newUser()
  const { purchaseId } = (await buy(userId, {})).json
  const payment = await paymentOf(purchaseId)
  await run(simulator.pay(payment))
  await stripe.refunds.create({ payment_intent: payment, amount: 100 })
  const { id } = await run(simulator.openDispute(payment, { amount: 300 }))
  await run(simulator.closeDispute(id, "lost"))
  const checkout = (await buy(userId, returnUrls)).json
  await run(simulator.expire(await paymentOf(checkout.purchaseId)))
  await reconciled(await oldAccount())
  expect(await stands(userId, purchaseId)).toEqual({ status: "completed", balance: 630, debt: 0 })
  expect((await stands(userId, checkout.purchaseId)).status).toBe("cancelled")
  expect(await db.rows("ops.kept_events", {}, "mana_ops")).toEqual([])
})

test("a goodwill refund goes to Stripe once, and takes its credits along", async () => {
  const userId = await newUser()
  const { purchaseId } = (await buy(userId, {})).json
  const payment = await paymentOf(purchaseId)
  await run(simulator.pay(payment))
  await run(simulator.webhooks.settled)
  const asked = { purchaseId, who: "ada", why: "It was slow", amountEuroCents: 500 }
  await db.rows("ops.refund_purchase", asked, "mana_ops")

  await run(simulator.faults.next("timeout-after", { method: "POST", path: "/v1/refunds" }))
  await expect(reconciled()).rejects.toMatchObject({ message: expect.any(String) })
  await db.query("update credits.refund_requests set next_attempt_at = now() where status = 'requested'")
  await reconciled()
  await run(simulator.webhooks.settled)
  const { data } = await stripe.refunds.list({ payment_intent: payment })
  expect(data.map(({ amount }) => amount)).toEqual([500])
  expect(await stands(userId, purchaseId)).toEqual({ status: "completed", balance: 525, debt: 0 })
  expect(
    await db.query("select status, refund_id from credits.refund_requests where purchase_id = $1", [purchaseId])
  ).toEqual([{ status: "sent", refund_id: data[0]?.id }])
})

test("a refund that Stripe made and answered with a fault is found again, however late", async () => {
  const userId = await newUser()
  const { purchaseId } = (await buy(userId, {})).json
  const payment = await paymentOf(purchaseId)
  await run(simulator.pay(payment))
  await run(simulator.webhooks.settled)
  await run(simulator.webhooks.mode("lose"))
  const asked = { purchaseId, who: "ada", why: "It was slow", amountEuroCents: 300 }
  await db.rows("ops.refund_purchase", asked, "mana_ops")
  // Stripe forgets a key after a day: by then it is another request.
  behind = 26 * 3_600_000
  await run(simulator.faults.next("500-after", { method: "POST", path: "/v1/refunds" }))
  await reconciled()
  behind = 0
  await db.query("update credits.refund_requests set next_attempt_at = now() where status = 'requested'")
  await reconciled()
  const { data } = await stripe.refunds.list({ payment_intent: payment })
  expect(data.map(({ amount }) => amount)).toEqual([300])
  expect(
    await db.query("select status, refund_id from credits.refund_requests where purchase_id = $1", [purchaseId])
  ).toEqual([{ status: "sent", refund_id: data[0]?.id }])
})

test("one refund, or one purchase, that Stripe breaks over doesn't keep it from the others", async () => {
  const bought = []
  for (let n = 0; n < 3; n++) {
    const userId = await newUser()
    const { purchaseId } = (await buy(userId, {})).json
    await run(simulator.pay(await paymentOf(purchaseId)))
    bought.push({ userId, purchaseId })
  }
  await run(simulator.webhooks.settled)
  for (const { purchaseId } of bought) {
    await db.rows("ops.refund_purchase", { purchaseId, who: "ada", why: "slow", amountEuroCents: 100 }, "mana_ops")
  }
  await run(simulator.faults.next("500-after", { method: "POST", path: "/v1/refunds" }))
  await reconciled()
  const statuses = await db.query("select status from credits.refund_requests where purchase_id = any ($1)", [
    bought.map(({ purchaseId }) => purchaseId)
  ])
  expect(statuses.map(({ status }) => status).toSorted()).toEqual(["requested", "sent", "sent"])

  await run(simulator.webhooks.mode("lose"))
  const paid = []
  for (let n = 0; n < 3; n++) {
    const userId = await newUser()
    const { purchaseId } = (await buy(userId, {})).json
    await run(simulator.pay(await paymentOf(purchaseId)))
    await due(purchaseId)
    paid.push({ userId, purchaseId })
  }
  // All that the list of events has is told already: what is asked about is what counts.
  await db.query("update credits.stripe_watermarks set events_until = now() + interval '1 hour'")
  await run(simulator.faults.next("500", { method: "GET", path: "/v1/payment_intents" }))
  await reconciled()
  await db.query("update credits.stripe_watermarks set events_until = now() - interval '1 hour'")
  const standing = await Promise.all(paid.map(({ userId, purchaseId }) => stands(userId, purchaseId)))
  expect(standing.map(({ status }) => status).toSorted()).toEqual(["completed", "completed", "pending"])
})

test("a debit of Checkout's that failed has failed once, however often we look", async () => {
  await run(simulator.webhooks.mode("lose"))
  const userId = await newUser()
  const { purchaseId } = (await buy(userId, returnUrls)).json
  await run(simulator.pay(await paymentOf(purchaseId), { method: "sepa_debit" }))
  const { data } = await stripe.paymentIntents.list({ limit: 1 })
  await run(simulator.decideDebit(data[0]?.id ?? "", "failed"))
  for (let look = 0; look < 2; look++) {
    await due(purchaseId)
    await reconciled()
    expect((await stands(userId, purchaseId)).status).toBe("failed")
  }
  // It would say "under way", dated now, of a payment that is no longer.
  expect(
    await db.query(
      "select id from credits.stripe_events where purchase_id = $1 and type like 'checkout.%' and id like 'seen_%'",
      [purchaseId]
    )
  ).toEqual([])
})

test("a missed event that says what PostgreSQL can't store is applied all the same", async () => {
  const event = paymentIntent(await begin(db), "succeeded", { fields: { description: "Ann \ud83d\0" } })
  expect(await told(event)).toMatchObject({ outcome: "applied" })
})

test("a step that breaks doesn't keep the others from their work, and the run has failed", async () => {
  const userId = await newUser()
  const { purchaseId } = (await buy(userId, {})).json
  await run(simulator.pay(await paymentOf(purchaseId)))
  await run(simulator.webhooks.settled)
  await db.rows("ops.refund_purchase", { purchaseId, who: "ada", why: "slow", amountEuroCents: 100 }, "mana_ops")
  await db.query("alter function stripe.events_until(boolean, timestamptz, timestamptz) rename to lost")
  await expect(reconciled()).rejects.toThrow("events_until")
  await db.query("alter function stripe.lost(boolean, timestamptz, timestamptz) rename to events_until")
  expect(await db.query("select status from credits.refund_requests where purchase_id = $1", [purchaseId])).toEqual([
    { status: "sent" }
  ])
})

test("a refund that Stripe refuses is closed with its reason", async () => {
  const userId = await newUser()
  const { purchaseId } = (await buy(userId, {})).json
  const payment = await paymentOf(purchaseId)
  await run(simulator.pay(payment))
  await run(simulator.webhooks.settled)
  await db.rows("ops.refund_purchase", { purchaseId, who: "ada", why: "twice" }, "mana_ops")
  // Somebody was faster, in Stripe's dashboard, and we aren't told yet.
  await run(simulator.webhooks.mode("lose"))
  await stripe.refunds.create({ payment_intent: payment })
  await reconciled()
  expect(
    await db.query("select status, error from credits.refund_requests where purchase_id = $1", [purchaseId])
  ).toEqual([{ status: "refused", error: expect.stringMatching(/refund/i) }])
  expect(await stands(userId, purchaseId)).toMatchObject({ status: "refunded", balance: 0 })
})

test("while Stripe is away the run fails, and the next one makes up for it", async () => {
  await run(simulator.webhooks.mode("lose"))
  const userId = await newUser()
  const { purchaseId } = (await buy(userId, {})).json
  await run(simulator.pay(await paymentOf(purchaseId)))
  await run(simulator.faults.next("500", { path: "/v1/events", times: 5 }))
  await expect(reconciled()).rejects.toMatchObject({ message: expect.any(String) })
  await run(simulator.faults.clear)
  await reconciled()
  expect((await request(userId, "GET", "/balance")).json).toMatchObject({ balance: 1050 })
})
