import * as http from "node:http"
import * as net from "node:net"
import { describe, expect, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { HttpServer, HttpServerResponse } from "effect/http"
import { AppSettings } from "../../src/config.ts"
import { nodeServer, serve, ServerLimits, usualLimits } from "../../src/http/connections/node-server.ts"
import { testSettings } from "./support.ts"

/** A server whose requests arrive, and are answered when the test says so. */
const held = (drainTimeoutMs: number) =>
  Effect.gen(function* () {
    const arrived = yield* Deferred.make<void>()
    const answer = yield* Deferred.make<void>()
    const scope = yield* Scope.make()
    const limits = { ...usualLimits, drainTimeoutMs }
    const layer = nodeServer.pipe(
      Layer.provide(Layer.succeed(AppSettings, testSettings)),
      Layer.provide(Layer.succeed(ServerLimits, limits))
    )
    const context = yield* Layer.buildWithScope(layer, scope)
    const app = Deferred.succeed(arrived, undefined).pipe(
      Effect.andThen(Deferred.await(answer)),
      Effect.as(HttpServerResponse.text("answered")),
      Effect.uninterruptible
    )
    yield* serve(app).pipe(Effect.provide(context), Effect.provideService(ServerLimits, limits), Scope.provide(scope))
    yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
    const { address } = Context.get(context, HttpServer.HttpServer)
    const port = "port" in address ? address.port : 0
    return { port, arrived, answer, close: Scope.close(scope, Exit.void) }
  })

const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })

const get = (port: number) =>
  Effect.callback<{ readonly body: string; readonly connection: string | undefined }, Error>((resume) => {
    http
      .get({ host: "127.0.0.1", port, agent }, (response) => {
        let body = ""
        response.on("data", (chunk) => (body += String(chunk)))
        response.on("end", () => resume(Effect.succeed({ body, connection: response.headers.connection })))
      })
      .on("error", (error) => resume(Effect.fail(error)))
  })

const connect = (port: number) =>
  Effect.callback<net.Socket, Error>((resume) => {
    const socket = net.connect(port, "127.0.0.1", () => resume(Effect.succeed(socket)))
    socket.once("error", (error) => resume(Effect.fail(error)))
  })

describe("closing the listener", () => {
  it.live("answers what is in flight, and lets nobody in meanwhile", () =>
    Effect.gen(function* () {
      const { port, arrived, answer, close } = yield* held(5000)
      const request = yield* Effect.forkChild(get(port))
      yield* Deferred.await(arrived)
      const closing = yield* Effect.forkChild(close)
      yield* connect(port).pipe(
        Effect.tap((socket) => Effect.sync(() => socket.destroy())),
        Effect.forever,
        Effect.flip,
        Effect.timeout("2 seconds")
      )
      expect(closing.pollUnsafe()).toBeUndefined()
      yield* Deferred.succeed(answer, undefined)
      expect(yield* Fiber.join(request)).toEqual({ body: "answered", connection: "close" })
      yield* Fiber.join(closing).pipe(Effect.timeout("1 second"))
    })
  )

  it.live("doesn't wait for idle connections", () =>
    Effect.gen(function* () {
      const { port, answer, close } = yield* held(5000)
      yield* Deferred.succeed(answer, undefined)
      expect(yield* get(port)).toEqual({ body: "answered", connection: "keep-alive" })
      yield* close.pipe(Effect.timeout("1 second"))
    })
  )

  it.live("cuts off what takes too long", () =>
    Effect.gen(function* () {
      const { port, arrived, close } = yield* held(100)
      const request = yield* Effect.forkChild(Effect.flip(get(port)))
      yield* Deferred.await(arrived)
      yield* close.pipe(Effect.timeout("2 seconds"))
      expect((yield* Fiber.join(request)).message).toContain("hang up")
    })
  )
})
