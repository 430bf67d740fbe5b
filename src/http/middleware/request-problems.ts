/** On every endpoint: bodies within their bound, and what is wrong with a request as a problem. */
import { Context, Effect, Layer } from "effect"
import { HttpServerRequest, type HttpServerResponse } from "effect/http"
import { HttpApiError } from "effect/http-api"
import { MaxBodyBytes, RequestProblems } from "../../contract/body.ts"
import { InvalidRequest, PayloadTooLarge } from "../../contract/problems.ts"
import { notJson, withCheckedBody } from "./body.ts"
import { invalidBySchema } from "./invalid.ts"
import { noteRetryAfter, RequestState } from "./request-state.ts"

/** A schema error of the request is its client's, one of the response is ours. */
const schemaProblem = <E>(error: E): Effect.Effect<never, E | InvalidRequest> => {
  if (!HttpApiError.HttpApiSchemaError.is(error)) return Effect.fail(error)
  return error.kind === "Body" || error.kind === "ResponseHeaders"
    ? Effect.die(error.cause)
    : Effect.fail(invalidBySchema(error.cause.issue))
}

/** What withCheckedBody dies of. */
const bodyProblem = (defect: unknown) =>
  defect instanceof InvalidRequest || defect instanceof PayloadTooLarge ? Effect.fail(defect) : Effect.die(defect)

/** The library's own word for a body that isn't JSON. */
const mediaTypeProblem = (response: HttpServerResponse.HttpServerResponse) =>
  response.status === 415 ? Effect.fail(notJson) : Effect.succeed(response)

export const requestProblems = Layer.succeed(RequestProblems, (httpEffect, { endpoint }) => {
  const limitBytes = Context.get(endpoint.annotations, MaxBodyBytes)
  const hasBody = endpoint.payload.size > 0
  // A write isn't interrupted when its client goes away.
  const carriedOut = endpoint.method === "GET" ? httpEffect : Effect.uninterruptible(httpEffect)
  const read = hasBody
    ? Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
        Effect.provideService(carriedOut, HttpServerRequest.HttpServerRequest, withCheckedBody(request, limitBytes))
      ).pipe(Effect.catchDefect(bodyProblem), Effect.flatMap(mediaTypeProblem))
    : carriedOut
  const answered = Effect.catch(read, schemaProblem).pipe(Effect.tapError(noteRetryAfter))
  return Effect.flatMap(RequestState, (state) => {
    state.route = endpoint.path
    return answered
  })
})
