/** Payments in development: Stripe itself where the environment has a key for it, else the simulator. */
import * as path from "node:path"
import { Effect, Option, Redacted } from "effect"
import type { Settings } from "../config.ts"
import { startStripeSimulator } from "./stripe/simulator.ts"

export interface DevPayments {
  /** The service's own address. */
  readonly origin: string
  readonly port: number
  readonly dataDir: string
}

/** The simulator beside the service: on the port after its own, so that checkout pages outlive a restart, or on any. */
const simulator = ({ origin, port, dataDir }: DevPayments) => {
  const start = (on: number) =>
    startStripeSimulator({
      port: on,
      webhookUrl: `${origin}/api/v1/webhooks/stripe`,
      // At the real bank it takes days.
      debitDecidedAfter: "20 seconds",
      stateFile: path.join(dataDir, "stripe.json")
    })
  return start(port + 1).pipe(Effect.catch(() => start(0)))
}

/** The settings with payments in them, and where the simulator's overview is, if it is one. */
export const withPayments = Effect.fnUntraced(function* (settings: Settings, options: DevPayments) {
  if (Option.isSome(settings.stripe)) return { settings, simulatorUrl: undefined }
  const { url, apiKey, webhookSecret, connection } = yield* simulator(options)
  const secretKey = Redacted.make(apiKey)
  const stripe = { secretKey, webhookSecrets: [Redacted.make(webhookSecret)], connection }
  return { settings: { ...settings, stripe: Option.some(stripe) }, simulatorUrl: `${url}/simulator` }
})
