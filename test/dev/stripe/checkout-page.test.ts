import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { languageOf } from "../../../src/dev/stripe/checkout-page.ts"
import { ask, checkout, purchase, simulated } from "./support.ts"

const visit = (url: string, init: RequestInit = {}) =>
  Effect.promise(async () => {
    const response = await fetch(url, { redirect: "manual", ...init })
    return { status: response.status, location: response.headers.get("location"), html: await response.text() }
  })

/** Presses a button of the page's form. */
const press = (url: string, action: string, method: string) =>
  visit(url, { method: "POST", body: new URLSearchParams({ action, method }) })

describe("the checkout page", () => {
  it.live("shows what is bought, says that it is a simulation, and takes the payer back", () =>
    Effect.gen(function* () {
      const { simulator, stripe } = yield* simulated()
      const session = yield* ask(() => stripe.checkout.sessions.create(checkout))
      const url = session.url ?? ""
      const shown = yield* visit(url)
      expect(shown.status).toBe(200)
      for (const text of ["This is a simulation.", "1,000 credits", "€10.00", "Card", "SEPA direct debit", "Pay"]) {
        expect(shown.html).toContain(text)
      }
      expect(shown.html).not.toContain("<script")
      expect(yield* press(url, "cancel", "card")).toMatchObject({ status: 303, location: checkout.cancel_url })
      expect((yield* ask(() => stripe.checkout.sessions.retrieve(session.id))).status).toBe("open")
      expect(yield* press(url, "pay", "card")).toMatchObject({
        status: 303,
        location: `https://app.example/done?session=${session.id}`
      })
      expect((yield* ask(() => stripe.checkout.sessions.retrieve(session.id))).payment_status).toBe("paid")
      // A second click pays nothing.
      expect((yield* press(url, "pay", "card")).html).toContain("The payment went through.")
      expect(yield* simulator.paymentIntents).toHaveLength(1)
    })
  )

  it.live("shows a decline, and lets the payer try again", () =>
    Effect.gen(function* () {
      const { simulator, stripe } = yield* simulated()
      const session = yield* ask(() => stripe.checkout.sessions.create(checkout))
      const url = session.url ?? ""
      const declined = yield* press(url, "decline", "card")
      expect(declined).toMatchObject({ status: 303, location: `/c/pay/${session.id}?declined=card` })
      const shown = yield* visit(new URL(declined.location ?? "", url).href)
      expect(shown.html).toContain("Your card was declined.")
      expect(shown.html).toContain('value="pay"')
      yield* press(url, "decline", "sepa_debit")
      yield* press(url, "pay", "card")
      expect(yield* simulator.paymentIntents).toMatchObject([{ status: "succeeded" }])
    })
  )

  it.live("hands a direct debit to the bank, and says what became of it", () =>
    Effect.gen(function* () {
      const { simulator, stripe } = yield* simulated()
      const session = yield* ask(() => stripe.checkout.sessions.create(checkout))
      const url = session.url ?? ""
      expect((yield* press(url, "pay", "sepa_debit")).location).toContain("https://app.example/done")
      expect((yield* visit(url)).html).toContain("On its way")
      yield* simulator.decideDebit(session.id, "failed")
      expect((yield* visit(url)).html).toContain("Not paid")
    })
  )

  it.live("is closed once expired, and knows nothing of others", () =>
    Effect.gen(function* () {
      const { simulator, stripe } = yield* simulated()
      const session = yield* ask(() => stripe.checkout.sessions.create(checkout))
      yield* simulator.expire(session.id)
      const url = session.url ?? ""
      expect((yield* visit(url)).html).toContain("This checkout has expired")
      expect((yield* press(url, "pay", "card")).html).toContain("This checkout has expired")
      expect(yield* visit(`${simulator.url}/c/pay/cs_test_none`)).toMatchObject({ status: 404 })
      expect(yield* simulator.paymentIntents).toHaveLength(0)
    })
  )

  it.live("speaks German to those who ask for it, and shows names as text", () =>
    Effect.gen(function* () {
      const { stripe } = yield* simulated()
      const session = yield* ask(() =>
        stripe.checkout.sessions.create({
          ...checkout,
          line_items: [
            { price_data: { currency: "eur", unit_amount: 250000, product_data: { name: "<b>Guthaben & mehr</b>" } } }
          ]
        })
      )
      const { html } = yield* visit(session.url ?? "", { headers: { "accept-language": "de-AT,de;q=0.9,en;q=0.8" } })
      for (const text of ['lang="de"', "Dies ist eine Simulation.", "2.500,00\u00a0€", "Bezahlen"]) {
        expect(html).toContain(text)
      }
      expect(html).toContain("&#60;b&#62;Guthaben &#38; mehr&#60;/b&#62;")
    })
  )

  it("chooses the language by the browser's weights", () => {
    expect(languageOf("fr, en;q=0.2, de;q=0.7")).toBe("de")
    expect(languageOf("en-GB,en;q=0.9,de;q=0.8")).toBe("en")
    expect(languageOf("de;q=0, en")).toBe("en")
    expect(languageOf("fr")).toBe("en")
    expect(languageOf(undefined)).toBe("en")
    expect(languageOf("en", "de")).toBe("de")
  })
})

describe("without a Checkout Session", () => {
  it.live("a PaymentIntent has a page of its own, by its client secret", () =>
    Effect.gen(function* () {
      const { simulator, stripe } = yield* simulated()
      const intent = yield* ask(() => stripe.paymentIntents.create({ ...purchase, description: "1,000 credits" }))
      const url = `${simulator.url}/pay/${intent.client_secret ?? ""}`
      expect((yield* visit(url)).html).toContain("1,000 credits")
      expect(yield* visit(`${simulator.url}/pay/${intent.id}`)).toMatchObject({ status: 404 })
      yield* press(url, "pay", "sepa_debit")
      expect((yield* visit(url)).html).toContain("On its way")
      yield* simulator.decideDebit(intent.id, "succeeded")
      expect((yield* visit(url)).html).toContain("The payment went through.")
    })
  )

  it.live("a person with curl plays payer, bank and network", () =>
    Effect.gen(function* () {
      const { simulator, stripe } = yield* simulated()
      const intent = yield* ask(() => stripe.paymentIntents.create(purchase))
      const post = (name: string, fields: Record<string, string>) =>
        Effect.map(
          visit(`${simulator.url}/simulator/${name}`, { method: "POST", body: new URLSearchParams(fields) }),
          ({ status, html }): unknown => ({ status, body: JSON.parse(html) })
        )
      const id = intent.client_secret ?? ""
      expect(yield* post("pay", { id, method: "sepa_debit" })).toMatchObject({
        status: 200,
        body: { status: "processing" }
      })
      expect(yield* post("decide-debit", { id, outcome: "succeeded" })).toMatchObject({ body: { status: "succeeded" } })
      expect(yield* post("open-dispute", { id })).toMatchObject({ body: { object: "dispute", status: "lost" } })
      expect(yield* post("pay", { id })).toMatchObject({
        status: 400,
        body: { error: { type: "invalid_request_error" } }
      })
      expect(yield* post("pay", {})).toMatchObject({ status: 400, body: { error: { code: "parameter_missing" } } })
      expect(yield* post("webhooks", { mode: "hold" })).toEqual({ status: 200, body: { mode: "hold" } })
      expect(yield* post("fault", { kind: "429", path: "/v1/refunds" })).toMatchObject({ status: 200 })
      expect(yield* Effect.flip(ask(() => stripe.refunds.list()))).toMatchObject({ statusCode: 429 })
      expect((yield* visit(`${simulator.url}/simulator`)).html).toContain(`curl ${simulator.url}/simulator/pay`)
    })
  )
})
