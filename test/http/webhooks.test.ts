import { Option, Redacted } from "effect"
import pg from "pg"
import { Stripe } from "stripe"
import { expect, test } from "vitest"
import { database } from "../support/database.ts"
import {
  begin,
  chargeRefunded,
  checkoutSession,
  dispute,
  paymentIntent,
  standing,
  type StripeEvent
} from "../support/stripe.ts"
import { eventually } from "../support/wait.ts"
import { authService } from "./support.ts"
import { startShop, stripeSettings } from "./stripe-support.ts"

const db = await database()
const auth = await authService()
const { service, simulator } = await startShop(db, auth)

const signed = (payload: string, secret = simulator.webhookSecret, age = 0) =>
  Stripe.webhooks.generateTestHeaderString({ payload, secret, timestamp: Math.floor(Date.now() / 1000) - age })

const post = (body: string, header: string | undefined) =>
  service.request("POST", "/api/v1/webhooks/stripe", {
    body,
    headers: header === undefined ? {} : { "stripe-signature": header }
  })

const deliver = (event: StripeEvent) => {
  const body = JSON.stringify(event, null, 2)
  return post(body, signed(body))
}

const received = { status: 200, json: { received: true } }
const refused = { status: 400, json: { code: "invalid_request", issues: [{ path: "stripe-signature" }] } }

test("an event that is signed is applied", async () => {
  const purchase = await begin(db)
  expect(await deliver(paymentIntent(purchase, "succeeded"))).toMatchObject(received)
  expect(await standing(db, purchase)).toMatchObject({ status: "completed", balance: 1050 })
})

test("every bad signature is a 400, and nothing is stored", async () => {
  const event = paymentIntent(await begin(db), "succeeded")
  const body = JSON.stringify(event, null, 2)
  const before = await db.books()
  expect(await post(body, undefined)).toMatchObject(refused)
  expect(await post(body, signed(body, "whsec_other"))).toMatchObject(refused)
  expect(await post(body, signed(body, undefined, 330))).toMatchObject(refused)
  expect(await post(body, signed(body, undefined, -330))).toMatchObject(refused)
  expect(await post(JSON.stringify(event), signed(body))).toMatchObject(refused)
  expect(await post("not JSON", signed("not JSON"))).toMatchObject(refused)
  expect(await db.books()).toEqual(before)
})

test("a signed body that doesn't say it is JSON is refused", async () => {
  const body = JSON.stringify(paymentIntent(await begin(db), "succeeded"))
  const headers = { "stripe-signature": signed(body), "content-type": "text/plain" }
  const { status, json } = await service.request("POST", "/api/v1/webhooks/stripe", { headers, body })
  expect([status, json.code]).toEqual([400, "invalid_request"])
})

test("an event that can't be applied is taken all the same, and logged", async () => {
  const purchase = await begin(db)
  const event = paymentIntent(purchase, "succeeded", { fields: { currency: "usd" } })
  expect(await deliver(event)).toMatchObject(received)
  expect(await standing(db, purchase)).toMatchObject({ status: "pending", balance: 0 })
  const line = service.lines.find((each) => each.includes(event.id))
  expect(JSON.parse(line ?? "{}")).toMatchObject({ annotations: { reason: "currency_mismatch" } })
})

test("a body beyond 1 MiB isn't read, one below is", async () => {
  const purchase = await begin(db)
  const large = (bytes: number) =>
    deliver(paymentIntent(purchase, "succeeded", { fields: { description: "x".repeat(bytes) } }))
  expect(await large(1024 * 1024)).toMatchObject({ status: 413, json: { code: "payload_too_large" } })
  expect(await standing(db, purchase)).toMatchObject({ status: "pending" })
  expect(await large(900 * 1024)).toMatchObject(received)
  expect(await standing(db, purchase)).toMatchObject({ status: "completed" })
})

test("the same event 50 times at once is one payment", async () => {
  const purchase = await begin(db)
  const event = paymentIntent(purchase, "succeeded")
  const answers = await Promise.all(Array.from({ length: 50 }, () => deliver(event)))
  expect(answers.filter(({ status }) => status !== 200)).toEqual([])
  expect(await standing(db, purchase)).toMatchObject({ status: "completed", balance: 1050 })
})

test("killed between storing and answering, then delivered again", async () => {
  const purchase = await begin(db)
  const event = paymentIntent(purchase, "succeeded")
  // The function has stored and applied it, and its session ends before it commits.
  const killed = new pg.Client({ connectionString: db.urlAs("mana_service") })
  killed.on("error", () => undefined)
  await killed.connect()
  await killed.query("begin")
  const { rows } = await killed.query("select pg_backend_pid() as pid")
  await killed.query("select stripe.apply_event($1)", [JSON.stringify(event)])
  const delivery = deliver(event)
  const waiting = "select from pg_stat_activity where $1 = any (pg_blocking_pids(pid))"
  await eventually(
    () => db.query(waiting, [rows[0].pid]),
    (sessions) => sessions.length === 1
  )
  await db.query("select pg_terminate_backend($1)", [rows[0].pid])
  expect(await delivery).toMatchObject(received)
  expect(await standing(db, purchase)).toMatchObject({ status: "completed", balance: 1050 })
  // Committed, and the answer got lost.
  expect(await deliver(event)).toMatchObject(received)
  expect(await standing(db, purchase)).toMatchObject({ status: "completed", balance: 1050 })
})

test("a secret that takes the other's place: both are good", async () => {
  const { webhookSecrets, ...others } = stripeSettings(simulator)
  const next = Redacted.make("whsec_next")
  const rotating = await startShop(db, auth, {
    settings: { stripe: Option.some({ ...others, webhookSecrets: [next, ...webhookSecrets] }) }
  })
  for (const secret of [simulator.webhookSecret, "whsec_next"]) {
    const purchase = await begin(db)
    const body = JSON.stringify(paymentIntent(purchase, "succeeded"))
    const headers = { "stripe-signature": signed(body, secret) }
    expect(await rotating.service.request("POST", "/api/v1/webhooks/stripe", { body, headers })).toMatchObject(received)
    expect(await standing(db, purchase)).toMatchObject({ status: "completed" })
  }
})

/** Numbers from 0 to 1, the same for the same seed. */
const randomFrom = (seed: number) => {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff
    return state / 0x80000000
  }
}

/** All of them in `npm run test:soak`. */
const many = process.env["MANA_SOAK"] === "1" ? 200 : 60

test(`${many} random orders of a purchase's seven main events end the same`, { timeout: 60_000 }, async () => {
  const seed = Number(process.env["MANA_TEST_SEED"] ?? "5")
  const random = randomFrom(seed)
  const shuffled = <A>(items: ReadonlyArray<A>) =>
    items
      .map((item) => ({ item, place: random() }))
      .toSorted((a, b) => a.place - b.place)
      .map(({ item }) => item)
  const oneOrder = async () => {
    const purchase = await begin(db, { checkout: true })
    const unpaid = { fields: { payment_status: "unpaid" } }
    const events = [
      checkoutSession(purchase, "completed", { at: 0, ...unpaid }),
      paymentIntent(purchase, "processing", { at: 1 }),
      paymentIntent(purchase, "succeeded", { at: 2 }),
      checkoutSession(purchase, "async_payment_succeeded", { at: 3 }),
      chargeRefunded(purchase, 400, { at: 4 }),
      dispute(purchase, "funds_withdrawn", { at: 5, amount: 300 }),
      dispute(purchase, "closed", { at: 6, amount: 300, status: "lost" })
    ]
    for (const event of shuffled([...events, ...events])) expect(await deliver(event)).toMatchObject(received)
    return standing(db, purchase)
  }
  for (let orders = 0; orders < many; orders += 10) {
    const ends = await Promise.all(Array.from({ length: 10 }, oneOrder))
    expect(ends, `MANA_TEST_SEED=${seed}`).toEqual(
      ends.map(() => ({ status: "completed", creditsKept: 315, balance: 315, debt: 0 }))
    )
  }
})

test("no answer and no log line has a secret in it", () => {
  expect(service.lines.join()).not.toContain(simulator.webhookSecret)
  expect(service.lines.join()).not.toContain(simulator.apiKey)
})
