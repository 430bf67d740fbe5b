/** The real server on a free port, the real database, an auth service whose keys a test can turn. */
import * as http from "node:http"
import { FetchHttpClient, HttpApiClient, HttpClient, HttpClientRequest } from "@effect/platform"
import { Clock, Duration, Effect, Exit, Layer, Logger, LogLevel, Option, Redacted, Scope } from "effect"
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from "jose"
import { afterAll } from "vitest"
import { jsonLine } from "../../src/logs.ts"
import { AppSettings, type Settings } from "../../src/config.ts"
import { Api } from "../../src/contract/api.ts"
import * as Database from "../../src/database/database.ts"
import { type Rates, RequestRates } from "../../src/http/limits.ts"
import { Listener, make as makeListener, type Patience } from "../../src/http/listener.ts"
import { server } from "../../src/http/server.ts"
import { WorkerHealth, type WorkerState } from "../../src/worker/health.ts"
import type { TestDatabase } from "../support/database.ts"

export const serviceKey = "test-service-key"
export const otherServiceKey = "the-key-before-the-rotation"

/** When what was started is stopped: after the file (afterAll), or after one test of it (onTestFinished). */
type Over = (stop: () => Promise<void>) => void

/** Plays the auth service: publishes keys, signs tokens, and can be away. */
export const authService = async (whenOver: Over = afterAll) => {
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
  whenOver(() => new Promise((resolve) => listener.close(() => resolve())))
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
  readonly patience?: Patience
  /** How long a request waits for a connection of the pool before it gets a 503; 2 seconds unless a test says otherwise. */
  readonly connectTimeout?: Duration.DurationInput
  readonly whenOver?: Over
  readonly worker?: WorkerState
  /** Moves the clock that only goes forward on, for what is remembered for a time; nothing waits longer or shorter. */
  readonly clock?: { readonly secondsAhead: number }
  /** How often somebody may ask; as often as they like unless a test says otherwise. */
  readonly rates?: Partial<Rates>
}

const movedOn = (by: { readonly secondsAhead: number }): Clock.Clock => {
  const real = Clock.make()
  const nanos = () => real.unsafeCurrentTimeNanos() + BigInt(by.secondsAhead) * 1_000_000_000n
  return {
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    unsafeCurrentTimeMillis: () => real.unsafeCurrentTimeMillis(),
    unsafeCurrentTimeNanos: nanos,
    currentTimeMillis: real.currentTimeMillis,
    currentTimeNanos: Effect.sync(nanos),
    sleep: (duration) => real.sleep(duration)
  }
}

const unlimited = { burst: Infinity, perSecond: 1 }

export interface RawRequest {
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: unknown
}

/** Starts the service on a test file's database; stopped after the file unless `whenOver` says otherwise. */
export const startService = async (db: TestDatabase, auth: AuthService, options: ServiceOptions = {}) => {
  const { whenOver = afterAll } = options
  const settings: Settings = {
    databaseUrl: Redacted.make(db.urlAs("mana_service")),
    databaseMaxConnections: 10,
    authUrl: auth.url,
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
    logLevel: LogLevel.Info,
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
  const listener = Layer.scoped(
    Listener,
    makeListener({
      host: settings.host,
      port: settings.port,
      drainTimeout: "2 seconds",
      ...(options.patience === undefined ? {} : { patience: options.patience })
    })
  )
  const layer = server().pipe(
    Layer.provideMerge(listener),
    Layer.provide(database),
    Layer.provide(Layer.succeed(AppSettings, settings)),
    Layer.provide(Layer.succeed(WorkerHealth, { state: Effect.succeed(options.worker ?? "elsewhere") })),
    Layer.provide(Logger.replace(Logger.defaultLogger, logger)),
    Layer.provide(options.clock === undefined ? Layer.empty : Layer.setClock(movedOn(options.clock))),
    Layer.provide(
      Layer.succeed(RequestRates, { strangers: unlimited, people: unlimited, gifts: unlimited, ...options.rates })
    )
  )
  const scope = Effect.runSync(Scope.make())
  const { port } = await Effect.runPromise(
    Effect.flatMap(Layer.buildWithScope(layer, scope), (context) => Effect.provide(Listener, context))
  )
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
