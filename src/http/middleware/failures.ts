/** Failures that no endpoint answers: no such route, and bugs. */
import { Cause, Effect } from "effect"
import { HttpServerError, HttpServerRequest, HttpServerRespondable, type HttpServerResponse } from "effect/http"
import { InternalError, MethodNotAllowed, NotFound } from "../../contract/problems.ts"
import { invalid } from "./invalid.ts"
import { RateLimits } from "./rate-limits.ts"
import { noteRetryAfter, RequestState, type State } from "./request-state.ts"

/** A method and the pattern of a path. */
export interface Route {
  readonly method: string
  readonly path: string
}

const isEncoded = (path: string) => {
  try {
    decodeURIComponent(path)
    return true
  } catch {
    return false
  }
}

/** The methods that some route knows for a path; undefined for what is no path. */
const methodsByPath = (routes: ReadonlyArray<Route>) => {
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

const noRoute = (state: State, methods: ReadonlyArray<string> | undefined) => {
  if (methods === undefined) return invalid({ path: "", message: "The path isn't percent-encoded UTF-8." })
  if (methods.length === 0)
    return new NotFound({ detail: "There is nothing at this address. GET /docs lists what is." })
  state.headers["allow"] = methods.join(", ")
  return new MethodNotAllowed({ detail: `This address knows ${methods.join(", ")} only.` })
}

const isRouteNotFound = (error: unknown) =>
  HttpServerError.isHttpServerError(error) && error.reason._tag === "RouteNotFound"

/** Makes the function that answers every failure but an interruption; `routes` are all there are. */
export const answerFailures = (routes: ReadonlyArray<Route>) =>
  Effect.map(RateLimits, ({ unauthenticated }) => {
    const methods = methodsByPath(routes)

    const answerNoRoute = (state: State) =>
      Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
        Effect.matchEffect(unauthenticated(request), {
          onFailure: (tooMany) => Effect.as(noteRetryAfter(tooMany), tooMany),
          onSuccess: () => Effect.sync(() => noRoute(state, methods(request.url)))
        })
      )

    const answerBug = (cause: Cause.Cause<unknown>, state: State) =>
      Effect.logError("A request failed by our fault", cause).pipe(
        Effect.annotateLogs({ requestId: state.id, route: state.route }),
        Effect.as(
          new InternalError({
            detail: "Something went wrong on our side. Report it with the request id.",
            requestId: state.id
          })
        )
      )

    return <E, R>(app: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>) =>
      Effect.catchCause(app, (cause) => {
        if (Cause.hasInterruptsOnly(cause)) return Effect.failCause(cause)
        return Effect.flatMap(RequestState, (state) => {
          const problem = isRouteNotFound(Cause.squash(cause)) ? answerNoRoute(state) : answerBug(cause, state)
          return Effect.flatMap(problem, HttpServerRespondable.toResponse)
        })
      })
  })
