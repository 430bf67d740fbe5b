/** What every request goes through: id, CORS, the route, failures to problems, headers, one line in the log. */
import { Effect } from "effect"
import * as FindMyWay from "find-my-way-ts"
import type { Answer } from "./answer.ts"
import { addressOf, networkOf } from "./client-address.ts"
import { corsHeaders, isPreflight, preflightAnswer } from "./cors.ts"
import { answerFailure, answerNoRoute, problemAnswer } from "./failures.ts"
import { counter, type Rates, tooMany } from "./limits.ts"
import type { OurRequest } from "./our-request.ts"
import type { Route } from "./route.ts"
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
    pattern: new RegExp(`^${path.replaceAll(".", "\\.").replace(/:\w+/g, "[^/]+")}/?$`)
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

export interface AppOptions {
  readonly corsOrigins: ReadonlyArray<string>
  readonly trustProxy: boolean
  readonly rates: Rates
}

/** Who asks these is whoever watches us, often from the address of the proxy that everybody comes from. */
const isProbe = (url: string) => /^\/health(?:\/ready)?(?:\?|$)/.test(url)

const logLine = ({ method, state }: OurRequest, status: number, since: number) =>
  Effect.logInfo("request", {
    requestId: state.id,
    method,
    route: state.route,
    status,
    ms: Math.round((performance.now() - since) * 10) / 10,
    caller: state.caller
  })

/** The routes as one app that never fails. */
export const makeApp = <R>(routes: ReadonlyArray<Route<R>>, options: AppOptions) => {
  const router = FindMyWay.make<Route<R>>(routerConfig)
  for (const route of routes) router.on(route.method, route.path, route)
  const methods = methodsByPath(routes)
  const cors = corsHeaders(options.corsOrigins)
  const strangers = counter(options.rates.strangers)
  const networkOfRequest = (request: OurRequest) => networkOf(addressOf(request, options) ?? "")
  /** Seconds that a stranger has to wait. */
  const wait = (request: OurRequest) => strangers.count(networkOfRequest(request))

  type Found = ReturnType<typeof router.find>
  const find = ({ method, url }: OurRequest) =>
    router.find(method, url) ?? (method === "HEAD" ? router.find("GET", url) : undefined)

  const routed = (request: OurRequest, found: Found): Effect.Effect<Answer, unknown, R> => {
    const { state, url } = request
    if (found === undefined) return Effect.succeed(answerNoRoute(state, methods(url)))
    // Its pattern: a path itself may name a user.
    state.route = found.handler.path
    return found.handler.answer(request, found)
  }

  const answerOfRoute = (request: OurRequest, found: Found) =>
    // What throws is answered as well.
    Effect.catchAllCause(
      Effect.suspend(() => routed(request, found)),
      (cause) => answerFailure(cause, request.state)
    )

  const answer = (request: OurRequest) => {
    if (isPreflight(request)) return Effect.succeed(preflightAnswer)
    const found = find(request)
    if (isProbe(request.url)) return answerOfRoute(request, found)
    const credential = found?.handler.credential
    // Where nobody is asked who they are, whatever they show is worth nothing.
    if (credential === undefined || !(credential in request.headers)) {
      const seconds = wait(request)
      return seconds === 0 ? answerOfRoute(request, found) : Effect.succeed(problemAnswer(tooMany(seconds)))
    }
    const { state } = request
    state.isSuspect = () => strangers.isOver(networkOfRequest(request))
    // Whoever is believed isn't counted. What fails by our own fault says nothing about them.
    return Effect.map(answerOfRoute(request, found), (answered) => {
      const seconds = state.isStranger && answered.status < 500 ? wait(request) : 0
      return seconds === 0 ? answered : problemAnswer(tooMany(seconds))
    })
  }

  return (request: OurRequest) => {
    const since = performance.now()
    return Effect.flatMap(answer(request), (answered) => {
      const crossOrigin = cors(request)
      const vary = [answered.headers["vary"], crossOrigin["vary"]].filter((each) => each !== undefined)
      const complete: Answer = {
        ...answered,
        headers: {
          ...securityHeaders,
          ...answered.headers,
          ...crossOrigin,
          ...(vary.length === 2 ? { vary: vary.join(", ") } : {}),
          ...request.state.headers,
          "x-request-id": request.state.id
        }
      }
      return Effect.as(logLine(request, answered.status, since), complete)
    })
  }
}
