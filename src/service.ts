/** The whole service as one layer: HTTP, its database, and the worker where this process runs it. */
import { Data, Effect, Layer, Predicate } from "effect"
import { HttpServer, type HttpRouter, type HttpServerError } from "effect/http"
import { AppSettings, type Settings } from "./config.ts"
import { layer as database, serving } from "./database/database.ts"
import { fit } from "./database/ready.ts"
import { nodeServer } from "./http/connections/node-server.ts"
import { server } from "./http/server.ts"
import { layer as worker } from "./worker/worker.ts"

/** The address that should be listened on can't be. */
export class CannotListen extends Data.TaggedError("CannotListen")<{ readonly message: string }> {}

const cannotListen =
  ({ host, port }: Settings) =>
  ({ cause }: HttpServerError.ServeError) =>
    new CannotListen({
      message:
        Predicate.hasProperty(cause, "code") && cause.code === "EADDRINUSE"
          ? `Port ${port} is taken: stop what listens there, or choose another with PORT.`
          : `Can't listen on ${host}:${port}: ${String(cause)}`
    })

const announced = Layer.effectDiscard(
  Effect.flatMap(HttpServer.HttpServer, ({ address }) =>
    Effect.logInfo("listening").pipe(Effect.annotateLogs({ address: HttpServer.formatAddress(address) }))
  )
)

/**
 * Serves from when it is built. What comes last here ends first: no new requests and responses to those in flight, then
 * the worker and its jobs, then the pools. `devRoutes` is for development: routes besides those of the contract.
 */
export const service = (settings: Settings, devRoutes?: Layer.Layer<never, never, HttpRouter.HttpRouter>) =>
  Layer.merge(server(devRoutes), announced).pipe(
    Layer.provide(Layer.effectContext(Effect.mapError(Layer.build(nodeServer), cannotListen(settings)))),
    Layer.provideMerge(settings.runWorker ? worker : Layer.empty),
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
