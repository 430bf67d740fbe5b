/** `worker`: the queue alone, where `serve` runs with RUN_WORKER=false. */
import { Effect, Layer } from "effect"
import { AppSettings, readSettings } from "../config.ts"
import { layer as database } from "../database/database.ts"
import { fit } from "../database/ready.ts"
import { jsonLogs } from "../telemetry/logs.ts"
import { layer as worker } from "../worker/worker.ts"

export const run = () =>
  Effect.gen(function* () {
    const settings = yield* readSettings
    yield* Effect.provide(
      fit,
      database({
        url: settings.databaseUrl,
        role: "mana_worker",
        maxConnections: 1,
        applicationName: "mana-credits worker: check",
        statementTimeout: "10 seconds",
        connectTimeout: "5 seconds"
      })
    )
    const announced = Layer.effectDiscard(Effect.logInfo("working"))
    return yield* Layer.launch(Layer.provideMerge(announced, worker)).pipe(
      Effect.provideService(AppSettings, settings),
      Effect.provide(jsonLogs(settings.logLevel))
    )
  })
