/** A page outside of the contract: open to anybody, counted by address like every request without a credential. */
import { Effect } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerRespondable, type HttpServerResponse } from "effect/http"
import { RateLimits } from "../middleware/rate-limits.ts"
import { noteRetryAfter, RequestState } from "../middleware/request-state.ts"

export const page = <E, R>(
  path: HttpRouter.PathInput,
  handler: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>
) =>
  HttpRouter.use((router) =>
    Effect.flatMap(RateLimits, ({ unauthenticated }) =>
      router.add(
        "GET",
        path,
        Effect.gen(function* () {
          const state = yield* RequestState
          state.route = path
          const request = yield* HttpServerRequest.HttpServerRequest
          return yield* Effect.matchEffect(unauthenticated(request), {
            onFailure: (tooMany) => Effect.andThen(noteRetryAfter(tooMany), HttpServerRespondable.toResponse(tooMany)),
            onSuccess: () => handler
          })
        })
      )
    )
  )
