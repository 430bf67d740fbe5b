/** On every endpoint: what is wrong with a request as a problem. */
import { Effect, Layer } from "effect"
import { HttpApiError } from "effect/http-api"
import { JsonBody, RequestProblems } from "../../contract/body.ts"
import type { InvalidRequest } from "../../contract/problems.ts"
import { invalidBySchema } from "./invalid.ts"
import { noteRetryAfter, RequestState } from "./request-state.ts"

/** A schema error of the request is its client's, one of the response is ours. */
const schemaProblem = <E>(error: E): Effect.Effect<never, E | InvalidRequest> => {
  if (!HttpApiError.HttpApiSchemaError.is(error)) return Effect.fail(error)
  return error.kind === "Body" || error.kind === "ResponseHeaders"
    ? Effect.die(error.cause)
    : Effect.fail(invalidBySchema(error.cause.issue))
}

export const requestProblems = Layer.succeed(RequestProblems, (httpEffect, { endpoint }) => {
  // A body without its bound keeps the process from starting.
  if (endpoint.payload.size > 0 && !endpoint.middlewares.has(JsonBody)) throw new Error(`${endpoint.path}: no JsonBody`)
  // A write isn't interrupted when its client goes away.
  const carriedOut = endpoint.method === "GET" ? httpEffect : Effect.uninterruptible(httpEffect)
  const answered = Effect.catch(carriedOut, (error) => Effect.tapError(schemaProblem(error), noteRetryAfter))
  return Effect.flatMap(RequestState, (state) => {
    state.route = endpoint.path
    return answered
  })
})
