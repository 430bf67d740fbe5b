/** `serve`: the service in production. */
// Before any of our schemas is made: each of them is compiled at its first use.
import "effect/schema/SchemaJITCompiler/enable"
import { Effect, Layer } from "effect"
import { readSettings } from "../config.ts"
import { jsonLogs } from "../telemetry/logs.ts"
import { service } from "../service.ts"

export const run = () =>
  Effect.flatMap(readSettings, (settings) =>
    Effect.provide(Layer.launch(service(settings)), jsonLogs(settings.logLevel))
  )
