/** `serve`, in nothing different but that Stripe is where TORTURE_STRIPE_PORT says. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect, Layer, Option } from "effect"
import { readSettings } from "../../src/config.ts"
import { jsonLogs } from "../../src/telemetry/logs.ts"
import { service } from "../../src/service.ts"

const connection = { host: "127.0.0.1", port: Number(process.env["TORTURE_STRIPE_PORT"]), protocol: "http" } as const

// Whoever started us is gone.
process.once("disconnect", () => process.exit(1))

Effect.flatMap(readSettings, (settings) => {
  const stripe = Option.map(settings.stripe, (each) => ({ ...each, connection }))
  return Effect.provide(Layer.launch(service({ ...settings, stripe })), jsonLogs(settings.logLevel))
}).pipe(NodeRuntime.runMain)
