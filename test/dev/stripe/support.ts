/** A simulator and the unmodified library that talks to it; an endpoint that receives its webhooks. */
import * as http from "node:http"
import { Effect } from "effect"
import { Stripe } from "stripe"
import { startStripeSimulator, type StripeSimulatorOptions } from "../../../src/dev/stripe/simulator.ts"

export const simulated = (options: StripeSimulatorOptions = {}) =>
  Effect.map(startStripeSimulator(options), (simulator) => ({
    simulator,
    stripe: new Stripe(simulator.apiKey, {
      ...simulator.connection,
      maxNetworkRetries: 0,
      telemetry: false,
      timeout: 5000
    })
  }))

type StripeError = InstanceType<typeof Stripe.errors.StripeError>

/** A call of the library's; its errors are failures, anything else a defect. */
export const ask = <A>(call: () => Promise<A>): Effect.Effect<A, StripeError> =>
  Effect.tryPromise(call).pipe(
    Effect.catch(({ cause }) => (cause instanceof Stripe.errors.StripeError ? Effect.fail(cause) : Effect.die(cause)))
  )

/** What an error says, without its ids. */
export const said = (error: StripeError) => ({
  type: error.type,
  status: error.statusCode,
  code: error.code,
  param: error.param
})

/** The error of a call that must fail. */
export const refused = <A>(call: () => Promise<A>) => Effect.map(Effect.flip(ask(call)), said)

export interface Received {
  readonly body: string
  readonly signature: string
}

const idIn = (body: string): string => JSON.parse(body).id

/** Listens for webhooks. `answer` says the status, knowing the ids that came before and the one that just came. */
export const receiver = Effect.fnUntraced(function* (
  answer: (earlier: ReadonlyArray<string>, id: string) => number = () => 200
) {
  const received: Array<Received> = []
  const server = http.createServer((request, response) => {
    let body = ""
    request.on("data", (chunk) => (body += String(chunk)))
    request.on("end", () => {
      const earlier = received.map((it) => idIn(it.body))
      received.push({ body, signature: String(request.headers["stripe-signature"]) })
      response.writeHead(answer(earlier, idIn(body))).end()
    })
  })
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
    () =>
      Effect.sync(() => {
        server.close()
        server.closeAllConnections()
      })
  )
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  return {
    url: `http://127.0.0.1:${port}/webhooks`,
    received,
    ids: () => received.map(({ body }) => idIn(body)),
    types: () => received.map(({ body }): string => JSON.parse(body).type)
  }
})

/** What a purchase of credits asks for. */
export const purchase = {
  amount: 1000,
  currency: "eur",
  automatic_payment_methods: { enabled: true },
  metadata: { purchase_id: "p1" }
} as const

export const checkout = {
  mode: "payment",
  line_items: [
    { price_data: { currency: "eur", unit_amount: 1000, product_data: { name: "1,000 credits" } }, quantity: 1 }
  ],
  success_url: "https://app.example/done?session={CHECKOUT_SESSION_ID}",
  cancel_url: "https://app.example/cancelled",
  payment_intent_data: { metadata: { purchase_id: "p1" } }
} satisfies Stripe.Checkout.SessionCreateParams
