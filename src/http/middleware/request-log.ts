/** A request's id, the headers of its response, and one line in the log when it is answered. */
import { randomUUID } from "node:crypto"
import { Cause, Effect } from "effect"
import { HttpServerRequest, HttpServerResponse } from "effect/http"
import { newState, RequestState, type State } from "./request-state.ts"
import { securityHeaders } from "./security-headers.ts"

const saneId = /^[\w.:-]{1,128}$/

/** The request id that a client gave, if it is fit for a log, or a new one. */
const requestId = (given: string | undefined) => (given !== undefined && saneId.test(given) ? given : randomUUID())

const logLine = (method: string, state: State, status: number, since: number) =>
  Effect.logInfo("request", {
    requestId: state.id,
    method,
    route: state.route,
    status,
    ms: Math.round((performance.now() - since) * 10) / 10,
    caller: state.caller
  })

/** nginx's number for a client that went away; nobody reads it but the log. */
const clientGone = 499

/** Around everything else: the request's state begins here. */
export const requestLog = <E, R>(app: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>) =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
    const since = performance.now()
    const state = newState(requestId(request.headers["x-request-id"]))
    return Effect.provideService(app, RequestState, state).pipe(
      Effect.matchCauseEffect({
        onSuccess: (response) => {
          const complete = HttpServerResponse.setHeaders(response, {
            ...securityHeaders,
            ...response.headers,
            ...state.headers,
            // An error after it isn't the answer given before.
            ...(state.isReplay && response.status < 400 ? { "idempotency-replayed": "true" } : {}),
            "x-request-id": state.id
          })
          return Effect.as(logLine(request.method, state, response.status, since), complete)
        },
        onFailure: (cause) => {
          const status = Cause.hasInterruptsOnly(cause) ? clientGone : 500
          return Effect.andThen(logLine(request.method, state, status, since), Effect.failCause(cause))
        }
      })
    )
  })
