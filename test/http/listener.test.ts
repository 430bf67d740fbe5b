import * as http from "node:http"
import * as net from "node:net"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Option, Scope } from "effect"
import { make } from "../../src/http/listener.ts"

/** A server whose requests arrive, and are answered when the test says so. */
const held = (drainTimeout: number) =>
  Effect.gen(function* () {
    const arrived = yield* Deferred.make<void>()
    const answer = yield* Deferred.make<void>()
    const scope = yield* Scope.make()
    const server = yield* make({ host: "127.0.0.1", port: 0, drainTimeout }).pipe(Scope.extend(scope))
    const app = Deferred.succeed(arrived, undefined).pipe(
      Effect.zipRight(Deferred.await(answer)),
      Effect.as({ status: 200, headers: {}, body: "answered" })
    )
    yield* Scope.extend(
      server.serve(() => app),
      scope
    )
    yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
    return { port: server.port, arrived, answer, close: Scope.close(scope, Exit.void) }
  })

const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })

const get = (port: number) =>
  Effect.async<{ readonly body: string; readonly connection: string | undefined }, Error>((resume) => {
    http
      .get({ host: "127.0.0.1", port, agent }, (response) => {
        let body = ""
        response.on("data", (chunk) => (body += String(chunk)))
        response.on("end", () => resume(Effect.succeed({ body, connection: response.headers.connection })))
      })
      .on("error", (error) => resume(Effect.fail(error)))
  })

const connect = (port: number) =>
  Effect.async<net.Socket, Error>((resume) => {
    const socket = net.connect(port, "127.0.0.1", () => resume(Effect.succeed(socket)))
    socket.once("error", (error) => resume(Effect.fail(error)))
  })

describe("closing the listener", () => {
  it.scopedLive("answers what is in flight, and lets nobody in meanwhile", () =>
    Effect.gen(function* () {
      const { port, arrived, answer, close } = yield* held(5000)
      const request = yield* Effect.fork(get(port))
      yield* Deferred.await(arrived)
      const closing = yield* Effect.fork(close)
      yield* connect(port).pipe(
        Effect.tap((socket) => Effect.sync(() => socket.destroy())),
        Effect.forever,
        Effect.flip,
        Effect.timeout("2 seconds")
      )
      expect(Option.isNone(yield* Fiber.poll(closing))).toBe(true)
      yield* Deferred.succeed(answer, undefined)
      expect(yield* Fiber.join(request)).toEqual({ body: "answered", connection: "close" })
      yield* Fiber.join(closing).pipe(Effect.timeout("1 second"))
    })
  )

  it.scopedLive("doesn't wait for idle connections", () =>
    Effect.gen(function* () {
      const { port, answer, close } = yield* held(5000)
      yield* Deferred.succeed(answer, undefined)
      expect(yield* get(port)).toEqual({ body: "answered", connection: "keep-alive" })
      yield* close.pipe(Effect.timeout("1 second"))
    })
  )

  it.scopedLive("cuts off what takes too long", () =>
    Effect.gen(function* () {
      const { port, arrived, close } = yield* held(100)
      const request = yield* Effect.fork(Effect.flip(get(port)))
      yield* Deferred.await(arrived)
      yield* close.pipe(Effect.timeout("2 seconds"))
      expect((yield* Fiber.join(request)).message).toContain("hang up")
    })
  )
})
