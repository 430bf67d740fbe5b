/** The whole service as one layer: HTTP, its database, and the worker where this process runs it. */
import { Data, Effect, Layer, Predicate } from "effect"
import { AppSettings, type Settings } from "./config.ts"
import { layer as database, serving } from "./database/database.ts"
import { fit } from "./database/ready.ts"
import { type ListenError, Listener, layer as listener } from "./http/listener.ts"
import type { Route } from "./http/route.ts"
import { server } from "./http/server.ts"
import { WorkerHealth, type WorkerState } from "./worker/health.ts"
import { layer as worker } from "./worker/worker.ts"

/** The address that should be listened on can't be. */
export class CannotListen extends Data.TaggedError("CannotListen")<{ readonly message: string }> {}

const cannotListen =
  ({ host, port }: Settings) =>
  (error: ListenError) =>
    new CannotListen({
      message:
        Predicate.hasProperty(error.cause, "code") && error.cause.code === "EADDRINUSE"
          ? `Port ${port} is taken: stop what listens there, or choose another with PORT.`
          : `Can't listen on ${host}:${port}: ${String(error.cause)}`
    })

const announced = Layer.effectDiscard(
  Effect.flatMap(Listener, ({ hostname, port }) =>
    Effect.logInfo("listening").pipe(Effect.annotateLogs({ address: `http://${hostname}:${port}` }))
  )
)

const elsewhere = Layer.succeed(WorkerHealth, { state: Effect.succeed<WorkerState>("elsewhere") })

/**
 * Serves from when it is built. What comes last here ends first: no new requests and answers to those in flight, then
 * the worker and its jobs, then the pools. `doors` is for development: routes besides those of the contract.
 */
export const service = (settings: Settings, doors: ReadonlyArray<Route<never>> = []) =>
  Layer.merge(server(doors), announced).pipe(
    Layer.provide(Layer.mapError(listener, cannotListen(settings))),
    Layer.provideMerge(settings.runWorker ? worker : elsewhere),
    Layer.provide(Layer.effectDiscard(fit)),
    Layer.provideMerge(
      database({
        url: settings.databaseUrl,
        ...serving,
        maxConnections: settings.databaseMaxConnections,
        applicationName: "mana-credits",
        // The longest call is a batch of 1000, far below a second; what takes this long waits for a lock.
        statementTimeout: "10 seconds",
        connectTimeout: "5 seconds"
      })
    ),
    Layer.provide(Layer.succeed(AppSettings, settings))
  )
