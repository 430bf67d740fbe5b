/** The listening socket, and its end: nobody who was let in goes without an answer. */
import * as http from "node:http"
import * as net from "node:net"
import { Context, Data, Duration, Effect, Layer, Runtime, type Scope } from "effect"
import { AppSettings } from "../config.ts"
import { type App, makeExchange } from "./exchange.ts"
import { securityHeaders } from "./security-headers.ts"

export interface ListenOptions {
  readonly host: string
  readonly port: number
  /** What is still unanswered this long after the end began is cut off. */
  readonly drainTimeout: Duration.DurationInput
  readonly patience?: Patience
}

/** What a client may take of our time, in milliseconds, and of our room. */
export interface Patience {
  readonly headersTimeout: number
  /** Headers and body. */
  readonly requestTimeout: number
  /** How often the two are looked at. */
  readonly connectionsCheckingInterval: number
  /** A connection on which nothing moves in either direction, whoever is waiting. */
  readonly idleTimeout: number
  /** Bytes of answers that wait for their readers, of all connections together. */
  readonly unreadBytes: number
}

// A client too slow to send its request within these can't hold a connection.
export const usualPatience: Patience = {
  headersTimeout: 10_000,
  requestTimeout: 20_000,
  connectionsCheckingInterval: 2_000,
  // Longer than any answer of ours takes, and than a kept connection may rest: who asks and never reads is cut off.
  idleTimeout: 120_000,
  unreadBytes: 64 * 1024 * 1024
}

/** Beyond it a newcomer is turned away: descriptors stay for the database, and what is open stays served. */
const maxConnections = 10_000

const serverOptions = {
  // Idle connections outlive the 90 seconds of common reverse proxies, so that it is never us who close one that a
  // proxy is about to use.
  keepAliveTimeout: 95_000,
  // We speak nothing else: a request that offers to upgrade (Java's client offers HTTP/2) is an ordinary one, body
  // and all.
  shouldUpgradeCallback: () => false
}

const headerLines = Object.entries(securityHeaders)
  .map(([name, value]) => `${name}: ${value}\r\n`)
  .join("")

const problemOf = (status: number, reason: string) => {
  const problem = { type: "about:blank", title: reason, status, detail: reason, code: "invalid_request" }
  return JSON.stringify({ ...problem, message: reason, issues: [{ path: "", message: reason }] })
}

/** What isn't HTTP, or takes too long to become a request, gets an answer here, and its connection is ended. */
const refuseConnection = (error: Error & { readonly code?: string }, socket: net.Socket) => {
  // It comes for each further piece of nonsense until the connection has ended.
  if (socket.writableEnded) return
  const [status, reason] =
    error.code === "ERR_HTTP_REQUEST_TIMEOUT"
      ? ([408, "Request Timeout"] as const)
      : error.code === "HPE_HEADER_OVERFLOW"
        ? ([431, "Request Header Fields Too Large"] as const)
        : ([400, "Bad Request"] as const)
  const body = problemOf(status, reason)
  if (socket.writable) {
    socket.write(
      `HTTP/1.1 ${status} ${reason}\r\nContent-Type: application/problem+json\r\n${headerLines}` +
        `Content-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`
    )
  }
  // Whether or not the other side reads it.
  socket.destroySoon()
}

/** Of all that may be expected we know `100-continue`. */
const refuseExpectation = (_: http.IncomingMessage, response: http.ServerResponse) => {
  response.writeHead(417, { ...securityHeaders, "content-type": "application/problem+json", connection: "close" })
  response.end(problemOf(417, "Expectation Failed"))
}

/**
 * Requests of one connection under way, or begun in one turn of the event loop. Clients and proxies send the next one
 * after the answer; one who sends thousands at once would have all of them begun before anybody else's.
 */
const mostAtOnce = 20

/** Whoever has more than that under way on a connection loses it, and what came with it isn't begun. */
class PatientServer extends http.Server {
  /** A client that has said all it has to say (`nc -N`) still reads; one that left without a word, the answer finds out. */
  readonly httpAllowHalfOpen = true
  readonly #underWay = new WeakMap<net.Socket, Set<http.IncomingMessage>>()

  /** Whether a request that came whole on this connection waits for its answer. */
  readonly isWaitedOn = (socket: net.Socket) =>
    [...(this.#underWay.get(socket) ?? [])].some((request) => request.complete)

  override emit(event: string, ...args: ReadonlyArray<unknown>): boolean {
    const [request, response] = args
    if (event === "request" && request instanceof http.IncomingMessage && response instanceof http.ServerResponse) {
      const { socket } = request
      const underWay = this.#underWay.get(socket) ?? new Set()
      this.#underWay.set(socket, underWay.add(request))
      if (underWay.size > mostAtOnce) socket.destroy()
      if (socket.destroyed) return true
      // Not at once: an answer given in the same turn has kept everybody else waiting, too.
      response.once("close", () => setImmediate(() => underWay.delete(request)))
    }
    return super.emit(event, ...args)
  }
}

/** Stops letting in, waits for the answers, cuts off what takes too long. Idle connections are closed at once. */
const drain = (server: http.Server, unanswered: ReadonlySet<http.ServerResponse>, timeout: Duration.DurationInput) =>
  Effect.async<void>((resume) => {
    // Asked to close, a kept-alive connection ends with its answer in place of waiting for the next request: with the
    // last one, where several requests were sent at once.
    const lastOf = new WeakMap<net.Socket, http.ServerResponse>()
    const last = (response: http.ServerResponse) => {
      const { socket } = response.req
      const before = lastOf.get(socket)
      if (before !== undefined && !before.headersSent) before.removeHeader("connection")
      lastOf.set(socket, response)
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

/** The address can't be listened on. */
export class ListenError extends Data.TaggedError("ListenError")<{ readonly cause: unknown }> {}

const listening = (server: http.Server, { host, port }: ListenOptions) =>
  Effect.async<net.AddressInfo, ListenError>((resume) => {
    const refuse = (cause: unknown) => resume(new ListenError({ cause }))
    server.once("error", refuse)
    server.listen({ host, port }, () => {
      server.off("error", refuse)
      const address = server.address()
      if (typeof address === "object" && address !== null) resume(Effect.succeed(address))
    })
  })

const closed = (server: http.Server) =>
  Effect.async<void>((resume) => {
    if (server.listening) server.close(() => resume(Effect.void))
    else resume(Effect.void)
  })

/** Listens until its scope ends. A taken port fails with ListenError, whose cause says EADDRINUSE. */
export const make = (options: ListenOptions) =>
  Effect.gen(function* () {
    const { idleTimeout, unreadBytes, ...patience } = options.patience ?? usualPatience
    const server = new PatientServer({ ...serverOptions, ...patience })
    server.setTimeout(idleTimeout)
    server.maxConnections = maxConnections
    server.on("clientError", (error, socket) => {
      // Whoever waits would take this for the answer to what is under way, and that may yet be done.
      if (!(socket instanceof net.Socket) || server.isWaitedOn(socket)) socket.destroy()
      else refuseConnection(error, socket)
    })
    server.on("checkExpectation", refuseExpectation)
    const unanswered = new Set<http.ServerResponse>()
    server.on("request", (_, response) => {
      unanswered.add(response)
      response.once("close", () => unanswered.delete(response))
    })
    const { address, port } = yield* Effect.acquireRelease(listening(server, options), () => closed(server))
    // A connection that can't be accepted is its client's trouble, not the end of the process.
    const fork = Runtime.runFork(yield* Effect.runtime())
    server.on("error", (error) => fork(Effect.logWarning("A connection couldn't be accepted", error)))
    const serve = <R>(app: App<R>) =>
      Effect.gen(function* () {
        server.on("request", yield* makeExchange<R>(app, unreadBytes))
        yield* Effect.addFinalizer(() => drain(server, unanswered, options.drainTimeout))
      })
    return { hostname: address === "::" ? "0.0.0.0" : address, port, serve }
  })

/** The socket that this process listens on. */
export class Listener extends Context.Tag("mana/Listener")<
  Listener,
  {
    readonly hostname: string
    readonly port: number
    /** Answers with an app from now on until the scope ends. */
    readonly serve: <R>(app: App<R>) => Effect.Effect<void, never, R | Scope.Scope>
  }
>() {}

export const layer = Layer.scoped(
  Listener,
  Effect.flatMap(AppSettings, ({ host, port }) => make({ host, port, drainTimeout: "4 seconds" }))
)
