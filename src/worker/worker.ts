/** The worker: what the clock and the queue ask for, done beside the HTTP service or in a process of its own. */
import { Effect, Layer, Ref, Schedule } from "effect"
import { AppSettings } from "../config.ts"
import { type DatabaseOptions, layer as database, makePool } from "../database/database.ts"
import { layer as payments } from "../stripe/stripe.ts"
import { WorkerHealth, type WorkerState } from "./health.ts"
import { concurrentJobs, queueConnections, workerSession } from "./session.ts"

/** Of the queue's pool and of the SQL client with which its jobs work. */
const connected = (maxConnections: number): Effect.Effect<DatabaseOptions, never, AppSettings> =>
  Effect.map(AppSettings, ({ databaseUrl }) => ({
    url: databaseUrl,
    role: "mana_worker",
    maxConnections,
    applicationName: "mana-credits worker",
    // Proving the books reads all of them.
    statementTimeout: "10 minutes",
    connectTimeout: "5 seconds"
  }))

/** Works for as long as the layer lives: started again when it fails or loses its database. */
export const layer = Layer.effect(
  WorkerHealth,
  Effect.gen(function* () {
    const pool = yield* makePool(yield* connected(queueConnections))
    const state = yield* Ref.make<WorkerState>("stopped")
    yield* workerSession(pool, Ref.set(state, "running")).pipe(
      Effect.ensuring(Ref.set(state, "stopped")),
      Effect.tapError(({ cause }) =>
        Effect.logError("The worker stopped; it starts again in 2 seconds").pipe(
          Effect.annotateLogs({ reason: cause instanceof Error ? cause.message : String(cause) })
        )
      ),
      Effect.retry(Schedule.spaced("2 seconds")),
      Effect.forkScoped
    )
    return { state: Ref.get(state) }
  })
).pipe(Layer.provide([payments, Layer.unwrap(Effect.map(connected(concurrentJobs), database))]))
