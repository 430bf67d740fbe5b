/** The worker: what the clock and the queue ask for, done beside the HTTP service or in a process of its own. */
import * as PgClient from "@effect/sql-pg/PgClient"
import { Effect, Layer, Ref, Schedule } from "effect"
import { AppSettings } from "../config.ts"
import { makePool } from "../database/database.ts"
import { WorkerHealth, type WorkerState } from "./health.ts"
import { layer as payments } from "../stripe/stripe.ts"
import { workerConnections, workerSession } from "./session.ts"

const database = Effect.gen(function* () {
  const { databaseUrl } = yield* AppSettings
  return yield* makePool({
    url: databaseUrl,
    role: "mana_worker",
    maxConnections: workerConnections,
    applicationName: "mana-credits worker",
    // Proving the books reads all of them.
    statementTimeout: "10 minutes",
    connectTimeout: "5 seconds"
  })
})

/** Works for as long as the layer lives: started again when it fails or loses its database. */
export const layer = Layer.scoped(
  WorkerHealth,
  Effect.gen(function* () {
    const pool = yield* database
    const state = yield* Ref.make<WorkerState>("stopped")
    yield* workerSession(pool, Ref.set(state, "running")).pipe(
      Effect.ensuring(Ref.set(state, "stopped")),
      Effect.tapError(({ cause }) =>
        Effect.logError("The worker stopped; it starts again in 2 seconds").pipe(
          Effect.annotateLogs({ reason: cause instanceof Error ? cause.message : String(cause) })
        )
      ),
      Effect.retry(Schedule.spaced("2 seconds")),
      Effect.provide(PgClient.layerFromPool({ acquire: Effect.succeed(pool) })),
      Effect.forkScoped
    )
    return { state: Ref.get(state) }
  })
).pipe(Layer.provide(payments))
