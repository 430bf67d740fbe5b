/** For whoever watches the process. */
import { Deferred, Effect, FiberId } from "effect"
import { ServiceUnavailable } from "../contract/errors.ts"
import { makeProblem } from "../contract/problem.ts"
import { migrated, writable } from "../database/ready.ts"
import { WorkerHealth } from "../worker/health.ts"
import { health as contract } from "../contract/health.ts"
import { anybody } from "./callers.ts"
import { endpointsOf, route } from "./route.ts"

/** A watcher asks every few seconds, and wants to know rather than to wait. */
const patience = "2 seconds"

const notReady = (detail: string) => Effect.fail(makeProblem(ServiceUnavailable, detail, { retryAfterSeconds: 5 }))

const databaseReady = Effect.zipRight(migrated, writable).pipe(
  // Whoever asks may be anybody: why is for the log.
  Effect.tapError(({ message }) => Effect.logWarning(message)),
  Effect.disconnect,
  Effect.timeout(patience),
  Effect.catchAll(() => notReady("The database can't be reached, isn't migrated, or takes no writes."))
)

/** However many ask at once, it is found out once: nobody who asks often gets at the connections that debits need. */
const together = <A, E, R>(effect: Effect.Effect<A, E, R>) => {
  let underWay: Deferred.Deferred<A, E> | undefined
  return Effect.suspend(() => {
    if (underWay !== undefined) return Deferred.await(underWay)
    const answer = Deferred.unsafeMake<A, E>(FiberId.none)
    underWay = answer
    return effect.pipe(
      Effect.ensuring(Effect.sync(() => (underWay = undefined))),
      Effect.intoDeferred(answer),
      // Of nobody's request: who asked first may go away.
      Effect.forkDaemon,
      Effect.zipRight(Deferred.await(answer))
    )
  })
}

const to = endpointsOf(contract)

const ready = together(databaseReady)

export const health = [
  route(to("health"), anybody, () =>
    Effect.sync(() => ({ status: "ok" as const, uptimeSeconds: Math.floor(process.uptime()) }))
  ),
  route(to("ready"), anybody, () =>
    Effect.gen(function* () {
      yield* ready
      const { state } = yield* WorkerHealth
      const worker = yield* state
      if (worker === "stopped") return yield* notReady("The worker doesn't run.")
      return { status: "ready" as const, database: "migrated" as const, worker }
    })
  )
]
