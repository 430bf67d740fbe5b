/** Probes. They come from the load balancer's address: never rate-limited. */
import { Deferred, Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Api } from "../../contract/api.ts"
import { ServiceUnavailable } from "../../contract/problems.ts"
import { migrated, writable } from "../../database/ready.ts"
import { WorkerHealth } from "../../worker/health.ts"

/** A probe asks every few seconds, and wants to know rather than to wait. */
const probeTimeout = "2 seconds"

const notReady = (detail: string) => new ServiceUnavailable({ detail, retryAfterSeconds: 5 })

const databaseNotReady = notReady("The database can't be reached, isn't migrated, or takes no writes.")

const databaseReady = Effect.andThen(migrated, writable).pipe(
  // The probe may be anybody's: why is for the log.
  Effect.tapError(({ message }) => Effect.logWarning(message)),
  Effect.mapError(() => databaseNotReady)
)

/** Concurrent callers share one computation: many probes take one of the connections that debits need. */
const singleFlight = <A, E, R>(effect: Effect.Effect<A, E, R>) => {
  let underWay: Deferred.Deferred<A, E> | undefined
  return Effect.suspend(() => {
    if (underWay !== undefined) return Deferred.await(underWay)
    const answer = Deferred.makeUnsafe<A, E>()
    underWay = answer
    return effect.pipe(
      Effect.ensuring(Effect.sync(() => (underWay = undefined))),
      Deferred.into(answer),
      // Of nobody's request: the one that asked first may go away.
      Effect.forkDetach,
      Effect.andThen(Deferred.await(answer))
    )
  })
}

export const health = HttpApiBuilder.group(Api, "health", (handlers) => {
  const ready = singleFlight(databaseReady)
  return handlers.handleAll({
    health: () => Effect.sync(() => ({ status: "ok" as const, uptimeSeconds: Math.floor(process.uptime()) })),
    ready: Effect.fnUntraced(function* () {
      // The probe waits no longer; what it started goes on until the database answers, for the next ones as well.
      yield* Effect.timeoutOrElse(ready, { duration: probeTimeout, orElse: () => Effect.fail(databaseNotReady) })
      const { state } = yield* WorkerHealth
      const worker = yield* state
      if (worker === "stopped") return yield* notReady("The worker doesn't run.")
      return { status: "ready", database: "migrated", worker } as const
    })
  })
})
