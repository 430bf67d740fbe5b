/** The service with a Stripe of its own: the simulator, whose webhooks come back to it. */
import { Effect, Exit, Option, Redacted, Scope } from "effect"
import type { Settings } from "../../src/config.ts"
import { startStripeSimulator, type StripeSimulatorOptions } from "../../src/dev/stripe/simulator.ts"
import type { TestDatabase } from "../support/database.ts"
import { type AuthService, type RawRequest, startService } from "./support.ts"
import { whenOver } from "../support/over.ts"

export const app = "https://app.example"
export const returnUrls = { successUrl: `${app}/done`, cancelUrl: `${app}/back` }

/** A simulator that ends with the file. */
export const startSimulator = async (options: StripeSimulatorOptions = {}) => {
  const scope = Effect.runSync(Scope.make())
  whenOver(() => Effect.runPromise(Scope.close(scope, Exit.void)))
  return Effect.runPromise(Effect.provideService(startStripeSimulator(options), Scope.Scope, scope))
}

export type Simulator = Awaited<ReturnType<typeof startSimulator>>

/** What leads the service to a simulator. */
export const stripeSettings = (simulator: Simulator, connection: object = {}) => ({
  secretKey: Redacted.make(simulator.apiKey),
  webhookSecrets: [Redacted.make(simulator.webhookSecret)],
  connection: { ...simulator.connection, maxNetworkRetries: 0, timeout: 5000, ...connection }
})

export interface ShopOptions {
  readonly simulator?: StripeSimulatorOptions
  readonly settings?: Partial<Settings>
  /** Of the stripe library. */
  readonly connection?: object
}

export const startShop = async (db: TestDatabase, auth: AuthService, options: ShopOptions = {}) => {
  const simulator = await startSimulator(options.simulator)
  const service = await startService(db, auth, {
    settings: {
      stripe: Option.some(stripeSettings(simulator, options.connection)),
      corsOrigins: [app],
      ...options.settings
    }
  })
  await Effect.runPromise(simulator.webhooks.target(`${service.url}/api/v1/webhooks/stripe`))

  const bearer = async (userId: string) => ({ authorization: `Bearer ${await auth.token(userId)}` })
  /** A call of the person's, raw. */
  const request = async (userId: string, method: string, path: string, { headers, body }: RawRequest = {}) =>
    service.request(method, `/api/v1/credits${path}`, {
      headers: { ...(await bearer(userId)), ...headers },
      ...(body === undefined ? {} : { body })
    })
  const buy = (userId: string, body: object, headers: Readonly<Record<string, string>> = {}) =>
    request(userId, "POST", "/purchase", { body: { packageId: "credits_1000", ...body }, headers })
  const stands = async (userId: string, purchaseId: string) => {
    const purchase = await request(userId, "GET", `/purchase/${purchaseId}`)
    const balance = await request(userId, "GET", "/balance")
    return { status: purchase.json.status, balance: balance.json.balance, debt: balance.json.debt }
  }
  /** The purchase's PaymentIntent or Checkout Session, as the simulator's controls want it. */
  const paymentOf = async (purchaseId: string): Promise<string> => {
    const [row] = await db.query(
      "select coalesce(payment_intent_id, checkout_session_id) as id from credits.purchases where id = $1",
      [purchaseId]
    )
    return row.id
  }
  return { service, simulator, request, buy, stands, paymentOf }
}
