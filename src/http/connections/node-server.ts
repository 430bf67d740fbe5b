/** Node's HTTP server with our limits: what a client may take of our time and room. */
import * as http from "node:http"
import * as net from "node:net"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Context, Effect, Exit, Layer, Scope } from "effect"
import { HttpServer, type HttpServerResponse } from "effect/http"
import { withinTime } from "../../lib/within-time.ts"
import { AppSettings } from "../../config.ts"
import { refuseConnection, refuseExpectation } from "./malformed.ts"
import { openResponses } from "./open-responses.ts"

export interface Limits {
  /** For the headers of a request. */
  readonly headersTimeoutMs: number
  /** For headers and body. */
  readonly requestTimeoutMs: number
  /** Between two looks at them. */
  readonly checkIntervalMs: number
  /** Without a byte in either direction, whether or not a response is awaited. */
  readonly idleTimeoutMs: number
  /** Of responses that wait for their readers, over all connections. */
  readonly maxUnsentBytes: number
  /** For responses when the server ends. */
  readonly drainTimeoutMs: number
}

export const usualLimits: Limits = {
  // A client too slow to send its request within these can't hold a connection.
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 20_000,
  checkIntervalMs: 2_000,
  // Longer than any response takes, and than a kept connection may rest.
  idleTimeoutMs: 120_000,
  maxUnsentBytes: 64 * 1024 * 1024,
  drainTimeoutMs: 4_000
}

/** The limits of a process; a test has its own. */
export const ServerLimits = Context.Reference<Limits>("mana/ServerLimits", { defaultValue: () => usualLimits })

/** Beyond it a new connection is turned away: descriptors stay for the database, and what is open stays served. */
const maxConnections = 10_000

const serverOptions = (limits: Limits): http.ServerOptions => ({
  headersTimeout: limits.headersTimeoutMs,
  requestTimeout: limits.requestTimeoutMs,
  connectionsCheckingInterval: limits.checkIntervalMs,
  // Idle connections outlive the 90 seconds of common reverse proxies, so that it is never us who close one that a
  // proxy is about to use.
  keepAliveTimeout: 95_000,
  // We speak nothing else: a request that offers to upgrade (Java's client offers HTTP/2) is an ordinary one, body and
  // all.
  shouldUpgradeCallback: () => false
})

class Server extends http.Server {
  /** A client that has said all it has to say (`nc -N`) still reads; one that left without a word, the response finds out. */
  readonly httpAllowHalfOpen = true
  readonly #drainTimeoutMs: number
  readonly #responses: ReturnType<typeof openResponses>

  constructor(limits: Limits) {
    super(serverOptions(limits))
    this.setTimeout(limits.idleTimeoutMs)
    this.maxConnections = maxConnections
    this.#drainTimeoutMs = limits.drainTimeoutMs
    this.#responses = openResponses(this, limits.maxUnsentBytes)
    this.on("clientError", (error, socket) => {
      // A client that waits would take this for the response to what is under way, and that may yet be done.
      if (!(socket instanceof net.Socket) || this.#responses.isWaitedOn(socket)) socket.destroy()
      else refuseConnection(error, socket)
    })
    this.on("checkExpectation", refuseExpectation)
  }

  override emit(event: string, request?: unknown, response?: unknown): boolean {
    if (event === "request" && request instanceof http.IncomingMessage && response instanceof http.ServerResponse) {
      if (!this.#responses.begin(request, response)) return true
    }
    return super.emit(event, request, response)
  }

  override close(callback?: (error?: Error) => void) {
    if (this.listening) this.#responses.drain(this.#drainTimeoutMs)
    return super.close(callback)
  }
}

/** A connection that can't be accepted is its client's trouble, not the end of the process. */
const survive = (server: http.Server) =>
  Effect.map(Effect.context(), (context) => {
    const fork = Effect.runForkWith(context)
    server.on("error", (error) => fork(Effect.logWarning("A connection couldn't be accepted", error)))
  })

/**
 * Serves until the scope ends, and at that end waits for responses as long as they may take: a write that the database
 * holds up goes on, or is rolled back, without us.
 */
export const serve = <E, R>(app: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>) =>
  Effect.gen(function* () {
    const { drainTimeoutMs } = yield* ServerLimits
    const scope = yield* Effect.acquireRelease(Scope.make(), (open) =>
      Effect.promise(() => withinTime(drainTimeoutMs + 500, Effect.runPromise(Scope.close(open, Exit.void))))
    )
    yield* Scope.provide(HttpServer.serveEffect(app), scope)
  })

/** Listens until its scope ends. */
export const nodeServer = Layer.unwrap(
  Effect.gen(function* () {
    const { host, port } = yield* AppSettings
    const limits = yield* ServerLimits
    const server = new Server(limits)
    const listener = NodeHttpServer.layer(() => server, { host, port, gracefulShutdownTimeout: limits.drainTimeoutMs })
    return Layer.tap(listener, () => survive(server))
  })
)
