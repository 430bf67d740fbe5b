/** The HTTP server: listens, answers, and at the end lets those under way finish. */
import * as http from "node:http"
import type { Socket } from "node:net"
import { HttpApi, HttpApiBuilder } from "@effect/platform"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Context, Data, Effect, Layer } from "effect"
import { AppSettings } from "../config.ts"
import { Api } from "../contract/api.ts"
import { makeApp } from "./app.ts"
import { auth } from "./auth.ts"
import { credits } from "./credits.ts"
import { internalCredits } from "./internal-credits.ts"

/** Why we can't listen, in one line for the person at the terminal. */
export class ListenError extends Data.TaggedError("ListenError")<{ readonly message: string }> {}

/** Where the server listens; the port is the real one where the settings said 0. */
export class ServerAddress extends Context.Tag("mana/ServerAddress")<
  ServerAddress,
  { readonly host: string; readonly port: number }
>() {}

/** How long a client may take, in milliseconds. Whoever is slower is told so and cut off. */
export interface Patience {
  readonly headersTimeout: number
  /** Headers and body. */
  readonly requestTimeout: number
  /** Between two requests on a connection. */
  readonly keepAliveTimeout: number
  /** How often we look. */
  readonly connectionsCheckingInterval: number
}

const usualPatience: Patience = {
  headersTimeout: 10_000,
  requestTimeout: 15_000,
  // Longer than a reverse proxy keeps its own connections idle, so that it never sends into one we just closed.
  keepAliveTimeout: 75_000,
  connectionsCheckingInterval: 2_000
}

/** For those under way when we stop; in milliseconds; then their connections are ended. */
const drainTimeout = 5_000

/** What Node can't parse never becomes a request: it is answered here, and the connection ended. */
const refuseConnection = (error: Error & { readonly code?: string }, socket: Socket) => {
  const [status, title] =
    error.code === "ERR_HTTP_REQUEST_TIMEOUT"
      ? [408, "The request took too long"]
      : error.code === "HPE_HEADER_OVERFLOW"
        ? [431, "The headers are too large"]
        : [400, "This is not HTTP"]
  if (socket.writable) {
    const body = JSON.stringify({
      type: "about:blank",
      title,
      status,
      detail: title,
      code: "invalid_request",
      message: title,
      issues: [{ path: "", message: title }]
    })
    socket.end(
      `HTTP/1.1 ${status} ${http.STATUS_CODES[status]}\r\nContent-Type: application/problem+json\r\n` +
        `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`
    )
  }
  // Whether or not it reads the answer.
  socket.destroySoon()
}

const listen = (server: http.Server, host: string, port: number) =>
  Effect.async<number, ListenError>((resume) => {
    const onError = (error: NodeJS.ErrnoException) =>
      resume(
        new ListenError({
          message:
            error.code === "EADDRINUSE"
              ? `Port ${port} is taken. Stop what listens there, or choose another with PORT.`
              : `Can't listen on ${host}:${port}: ${error.message}`
        })
      )
    server.once("error", onError)
    server.listen(port, host, () => {
      server.off("error", onError)
      const address = server.address()
      resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : port))
    })
  })

/** No new connections; those with a request under way get their answer, the idle ones are ended. */
const drain = (server: http.Server) =>
  Effect.async<void>((resume) => {
    const idle = setInterval(() => server.closeIdleConnections(), 50)
    const enough = setTimeout(() => server.closeAllConnections(), drainTimeout)
    server.close(() => {
      clearInterval(idle)
      clearTimeout(enough)
      resume(Effect.void)
    })
  })

const groups = Layer.mergeAll(credits, internalCredits).pipe(Layer.provide(auth))

const listening = (patience: Patience) =>
  Effect.gen(function* () {
    // Asked for so that every group has added its routes before they are read.
    yield* HttpApi.Api
    const router = yield* HttpApiBuilder.Router.router
    const { host, port, corsOrigins } = yield* AppSettings
    let closing = false
    const app = yield* makeApp(router, { corsOrigins, isClosing: () => closing })
    const handler = yield* NodeHttpServer.makeHandler(app)
    // Nobody listens for upgrades: Node takes such a request for an ordinary one.
    const server = http.createServer({ ...patience }, handler)
    server.on("clientError", refuseConnection)
    const realPort = yield* Effect.acquireRelease(listen(server, host, port), () =>
      Effect.suspend(() => {
        closing = true
        return drain(server)
      })
    )
    return { host, port: realPort }
  })

/** Serves the whole contract. It needs the database first, so it stops before the pool ends. */
export const server = (patience: Patience = usualPatience) =>
  Layer.scoped(ServerAddress, listening(patience)).pipe(
    Layer.provide(HttpApiBuilder.api(Api)),
    Layer.provide(groups),
    Layer.provide(HttpApiBuilder.Router.Live),
    Layer.provide(NodeHttpServer.layerContext)
  )
