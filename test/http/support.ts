/** The real server on a free port, the real database, an auth service whose keys a test can turn. */
import * as http from "node:http"
import { Clock, Context, type Duration, Effect, Exit, Layer, Logger, Option, Redacted, Scope } from "effect"
import { FetchHttpClient, HttpClient, HttpClientRequest, type HttpRouter, HttpServer } from "effect/http"
import { HttpApiClient } from "effect/http-api"
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from "jose"
import { jsonLine } from "../../src/telemetry/logs.ts"
import { AppSettings, type Settings } from "../../src/config.ts"
import { Api } from "../../src/contract/api.ts"
import * as Database from "../../src/database/database.ts"
import { type Rates, RequestRates } from "../../src/http/middleware/rate-limits.ts"
import { type Limits, nodeServer, ServerLimits, usualLimits } from "../../src/http/connections/node-server.ts"
import { server } from "../../src/http/server.ts"
import { WorkerHealth, type WorkerState } from "../../src/worker/health.ts"
import type { TestDatabase } from "../support/database.ts"
import { whenOver } from "../support/over.ts"

export const serviceKey = "test-service-key"
export const otherServiceKey = "the-key-before-the-rotation"

/** Plays the auth service: publishes keys, signs tokens, and can be away. */
export const authService = async () => {
  const makeKey = async (kid: string) => {
    const { privateKey, publicKey } = await generateKeyPair("EdDSA", { extractable: true })
    return { kid, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg: "EdDSA", use: "sig" } }
  }
  let key = await makeKey("first")
  let isAway = false
  let asked = 0
  const listener = http.createServer((request, response) => {
    asked += 1
    if (isAway || request.url !== "/api/auth/jwks") return void response.writeHead(500).end()
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ keys: [key.jwk] }))
  })
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve))
  whenOver(() => new Promise<void>((resolve) => listener.close(() => resolve())))
  const address = listener.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  const url = `http://127.0.0.1:${port}`

  const sign = (claims: JWTPayload, header: { readonly kid?: string } = {}) =>
    new SignJWT(claims).setProtectedHeader({ alg: "EdDSA", kid: key.kid, ...header }).sign(key.privateKey)

  return {
    url,
    sign,
    /** A good token, with claims changed or (undefined) left out. */
    token: (sub: string, claims: JWTPayload = {}) => {
      const now = Math.floor(Date.now() / 1000)
      return sign({ iss: url, aud: "mana", iat: now, exp: now + 300, sub, ...claims })
    },
    key: () => key,
    rotate: async (kid: string) => {
      key = await makeKey(kid)
    },
    goAway: () => {
      isAway = true
    },
    comeBack: () => {
      isAway = false
    },
    timesAsked: () => asked
  }
}

export type AuthService = Awaited<ReturnType<typeof authService>>

export interface ServiceOptions {
  readonly settings?: Partial<Settings>
  readonly limits?: Partial<Limits>
  /** How long a request waits for a connection of the pool before it gets a 503; 2 seconds unless a test says otherwise. */
  readonly connectTimeout?: Duration.Input
  readonly worker?: WorkerState
  readonly devRoutes?: Layer.Layer<never, never, HttpRouter.HttpRouter>
  /** Moves the clock that only goes forward on, for what is remembered for a time; nothing waits longer or shorter. */
  readonly clock?: { readonly secondsAhead: number }
  /** How often somebody may ask; as often as they like unless a test says otherwise. */
  readonly rates?: Partial<Rates>
}

const movedOn = (by: { readonly secondsAhead: number }) =>
  Layer.effect(
    Clock.Clock,
    Effect.map(Clock.Clock, (real): Clock.Clock => {
      const nanos = () => real.monotonicTimeNanosUnsafe() + BigInt(by.secondsAhead) * 1_000_000_000n
      return {
        currentTimeMillisUnsafe: () => real.currentTimeMillisUnsafe(),
        currentTimeMillis: real.currentTimeMillis,
        currentTimeNanosUnsafe: () => real.currentTimeNanosUnsafe(),
        currentTimeNanos: real.currentTimeNanos,
        monotonicTimeNanosUnsafe: nanos,
        monotonicTimeNanos: Effect.sync(nanos),
        sleep: (duration) => real.sleep(duration)
      }
    })
  )

const unlimited = { burst: Infinity, perSecond: 1 }

export interface RawRequest {
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: unknown
}

/** The service's settings in a test, but for where its database and its auth service are. */
export const testSettings: Settings = {
  databaseUrl: Redacted.make("postgres://nowhere"),
  databaseMaxConnections: 10,
  authUrl: "http://nowhere",
  jwtAlgorithms: ["EdDSA"],
  serviceKeys: [Redacted.make(serviceKey), Redacted.make(otherServiceKey)],
  host: "127.0.0.1",
  port: 0,
  baseUrl: "https://credits.example",
  corsOrigins: [],
  appUrl: Option.none(),
  stripe: Option.none(),
  events: Option.none(),
  runWorker: false,
  trustProxy: false,
  logLevel: "Info"
}

/** Starts the service on a test file's database; stopped after the test or the file that starts it. */
export const startService = async (db: TestDatabase, auth: AuthService, options: ServiceOptions = {}) => {
  const settings: Settings = {
    ...testSettings,
    databaseUrl: Redacted.make(db.urlAs("mana_service")),
    authUrl: auth.url,
    ...options.settings
  }
  const lines: Array<string> = []
  const logger = Logger.map(jsonLine, (line) => void lines.push(line))
  const database = Database.layer({
    url: settings.databaseUrl,
    ...Database.serving,
    maxConnections: settings.databaseMaxConnections,
    applicationName: "test http",
    statementTimeout: "10 seconds",
    connectTimeout: options.connectTimeout ?? "2 seconds"
  })
  const layer = server(options.devRoutes).pipe(
    Layer.provideMerge(Layer.orDie(nodeServer)),
    Layer.provide(Layer.orDie(database)),
    Layer.provide(Layer.succeed(AppSettings, settings)),
    Layer.provide(Layer.succeed(WorkerHealth, { state: Effect.succeed(options.worker ?? "elsewhere") })),
    Layer.provide(Logger.layer([logger])),
    Layer.provide(options.clock === undefined ? Layer.empty : movedOn(options.clock)),
    Layer.provide(Layer.succeed(ServerLimits, { ...usualLimits, drainTimeoutMs: 2000, ...options.limits })),
    Layer.provide(
      Layer.succeed(RequestRates, { unauthenticated: unlimited, people: unlimited, gifts: unlimited, ...options.rates })
    )
  )
  const scope = Effect.runSync(Scope.make())
  const context = await Effect.runPromise(Layer.buildWithScope(layer, scope))
  const { address } = Context.get(context, HttpServer.HttpServer)
  const port = "port" in address ? address.port : 0
  const url = `http://127.0.0.1:${port}`
  const stop = () => Effect.runPromise(Scope.close(scope, Exit.void))
  whenOver(stop)

  /** A client derived from the contract, with these headers on every request; its answers and failures as promises. */
  const clientWith = (headers: Readonly<Record<string, string>>) =>
    Effect.runSync(
      HttpApiClient.make(Api, {
        baseUrl: url,
        transformClient: HttpClient.mapRequest(HttpClientRequest.setHeaders(headers))
      }).pipe(Effect.provide(FetchHttpClient.layer))
    )

  return {
    url,
    port,
    /** Where clients are told to go on. */
    baseUrl: settings.baseUrl,
    stop,
    /** What it logged, a JSON document a line. */
    lines,
    asUser: async (userId: string) => clientWith({ authorization: `Bearer ${await auth.token(userId)}` }),
    asService: () => clientWith({ "x-service-key": serviceKey }),

    /** A raw request: `body` is sent as it is when it is text, else as JSON. */
    request: async (method: string, path: string, { headers, body }: RawRequest = {}) => {
      const response = await fetch(url + path, {
        method,
        headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
        ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) })
      })
      const text = await response.text()
      return {
        status: response.status,
        headers: response.headers,
        text,
        json: text !== "" && response.headers.get("content-type")?.includes("json") ? JSON.parse(text) : undefined
      }
    }
  }
}

export const run = Effect.runPromise

/** What it fails with. */
export const failure = <A, E>(effect: Effect.Effect<A, E>): Promise<E> => Effect.runPromise(Effect.flip(effect))
