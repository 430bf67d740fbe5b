/** The listening socket, and its end: nobody who was let in goes without an answer. */
import * as http from "node:http"
import { HttpServer } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { Duration, Effect, Layer } from "effect"
import { AppSettings } from "../config.ts"

export interface ListenOptions {
  readonly host: string
  readonly port: number
  /** What is still unanswered this long after the end began is cut off. */
  readonly drainTimeout: Duration.DurationInput
}

// A client too slow to send its request within these can't hold a connection. Idle connections outlive the 90
// seconds of common reverse proxies, so that it is never us who close one that a proxy is about to use.
const serverOptions = { headersTimeout: 10_000, requestTimeout: 30_000, keepAliveTimeout: 95_000 }

/** Stops letting in, waits for the answers, cuts off what takes too long. Idle connections are closed at once. */
const drain = (server: http.Server, unanswered: ReadonlySet<http.ServerResponse>, timeout: Duration.DurationInput) =>
  Effect.async<void>((resume) => {
    // Asked to close, a kept-alive connection ends with its answer in place of waiting for the next request.
    const last = (response: http.ServerResponse) => {
      if (!response.headersSent) response.setHeader("connection", "close")
      response.once("close", () => server.closeIdleConnections())
    }
    server.prependListener("request", (_, response) => last(response))
    for (const response of unanswered) last(response)
    const cutOff = setTimeout(() => server.closeAllConnections(), Duration.toMillis(timeout))
    server.close(() => {
      clearTimeout(cutOff)
      resume(Effect.void)
    })
  })

/** Effect's server takes its handler away before it stops listening; this one drains in between. */
export const make = (options: ListenOptions) =>
  Effect.gen(function* () {
    const server = http.createServer(serverOptions)
    const unanswered = new Set<http.ServerResponse>()
    server.on("request", (_, response) => {
      unanswered.add(response)
      response.once("close", () => unanswered.delete(response))
    })
    const effectServer = yield* NodeHttpServer.make(() => server, { host: options.host, port: options.port })
    return HttpServer.make({
      address: effectServer.address,
      serve: (app, middleware) =>
        Effect.zipRight(
          middleware === undefined ? effectServer.serve(app) : effectServer.serve(app, middleware),
          Effect.addFinalizer(() => drain(server, unanswered, options.drainTimeout))
        )
    })
  })

/** What `HttpApiBuilder.serve` needs of a server. A taken port fails with ServeError, whose cause says EADDRINUSE. */
export const layer = Layer.merge(
  Layer.scoped(
    HttpServer.HttpServer,
    Effect.flatMap(AppSettings, ({ host, port }) => make({ host, port, drainTimeout: "4 seconds" }))
  ),
  NodeHttpServer.layerContext
)
