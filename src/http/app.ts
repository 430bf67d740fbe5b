/** What every request goes through: id, CORS, the route, failures to problems, headers, one line in the log. */
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { Chunk, Effect } from "effect"
import { addressOf, networkOf } from "./client-address.ts"
import { corsHeaders, isPreflight, preflightAnswer } from "./cors.ts"
import { answerFailure, problemAnswer } from "./failures.ts"
import { counter, type Rates, tooMany } from "./limits.ts"
import { type OurRequest, unrouted } from "./our-request.ts"
import { ourRequest, requestState } from "./request-state.ts"
import { securityHeaders } from "./security-headers.ts"

const routerConfig = {
  caseSensitive: true,
  ignoreDuplicateSlashes: false,
  // Longer than any path can be: the contract says how long a parameter is, not the router with a 404.
  maxParamLength: 1_000_000
}

/** The methods that some route knows for a path; undefined for what is no path. */
const methodsByPath = (routes: ReadonlyArray<{ readonly method: string; readonly path: string }>) => {
  const patterns = routes.map(({ method, path }) => ({
    method,
    pattern: new RegExp(`^${path.replace(/:\w+/g, "[^/]+")}/?$`)
  }))
  return (url: string) => {
    const [path = ""] = url.split("?", 1)
    if (!isEncoded(path)) return undefined
    return [...new Set(patterns.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method))]
  }
}

const isEncoded = (path: string) => {
  try {
    decodeURIComponent(path)
    return true
  } catch {
    return false
  }
}

/** The route's pattern for the log: a path itself may name a user. */
const noteRoute = Effect.zipWith(requestState, HttpRouter.RouteContext, (state, { route }) => {
  state.route = route.path
})

export interface AppOptions {
  readonly corsOrigins: ReadonlyArray<string>
  readonly trustProxy: boolean
  readonly rates: Rates
}

/** Who asks these is whoever watches us, often from the address of the proxy that everybody comes from. */
const isProbe = (url: string) => /^\/health(?:\/ready)?(?:\?|$)/.test(url)

const credentials = ["authorization", "x-service-key", "stripe-signature"]

/** Whether it says who it is, true or not. */
const saysWho = ({ headers }: HttpServerRequest.HttpServerRequest) => credentials.some((name) => name in headers)

const logLine = ({ source, state }: OurRequest, status: number, since: number) =>
  Effect.logInfo("request", {
    requestId: state.id,
    method: source.method,
    route: state.route,
    status,
    ms: Math.round((performance.now() - since) * 10) / 10,
    caller: state.caller
  })

/** The router as one app that never fails. */
export const makeApp = <E, R>(router: HttpRouter.HttpRouter<E, R>, options: AppOptions) =>
  Effect.gen(function* () {
    const routed = yield* HttpRouter.use(router, (handler) => Effect.zipRight(noteRoute, handler)).pipe(
      HttpRouter.toHttpApp,
      HttpRouter.withRouterConfig(routerConfig)
    )
    const routes = Chunk.toReadonlyArray(router.routes)
    if (routes.some(({ method }) => method === unrouted)) throw new Error(`A route has the method ${unrouted}`)
    const methods = methodsByPath(routes)
    const cors = corsHeaders(options.corsOrigins)
    const strangers = counter(options.rates.strangers)
    const networkOfRequest = (request: HttpServerRequest.HttpServerRequest) =>
      networkOf(addressOf(request, options) ?? "")
    /** Seconds that a stranger has to wait. */
    const wait = (request: HttpServerRequest.HttpServerRequest) => strangers.count(networkOfRequest(request))

    const answerOfRoute = ({ url, state }: OurRequest) =>
      Effect.catchAllCause(routed, (cause) => answerFailure(cause, state, () => methods(url)))

    const answer = (request: OurRequest) => {
      if (isPreflight(request)) return Effect.succeed(preflightAnswer)
      if (isProbe(request.url)) return answerOfRoute(request)
      if (!saysWho(request)) {
        const seconds = wait(request)
        return seconds === 0 ? answerOfRoute(request) : Effect.succeed(problemAnswer(tooMany(seconds)))
      }
      const { state } = request
      state.isSuspect = () => strangers.isOver(networkOfRequest(request))
      // Whoever is believed isn't counted. What fails by our own fault says nothing about them.
      return Effect.map(answerOfRoute(request), (response) => {
        const seconds = state.isStranger && response.status < 500 ? wait(request) : 0
        return seconds === 0 ? response : problemAnswer(tooMany(seconds))
      })
    }

    return Effect.flatMap(ourRequest, (request) => {
      const since = performance.now()
      return Effect.flatMap(answer(request), (response) => {
        const complete = HttpServerResponse.setHeaders(response, {
          ...securityHeaders,
          ...response.headers,
          ...cors(request),
          ...request.state.headers,
          "x-request-id": request.state.id
        })
        return Effect.as(logLine(request, response.status, since), complete)
      })
    })
  })
