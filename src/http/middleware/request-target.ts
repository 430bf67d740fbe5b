/** Attack: the router takes `;` and `#` for the end of a path, and so one user's path for another's. */
import { Effect } from "effect"
import { HttpServerRequest, type HttpServerResponse } from "effect/http"

const escaped = (url: string) => url.replace(/^[^?]*/, (path) => path.replaceAll(";", "%3B")).replaceAll("#", "%23")

export const escapePath = <E, R>(app: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>) =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
    /[;#]/.test(request.url)
      ? Effect.provideService(app, HttpServerRequest.HttpServerRequest, request.modify({ url: escaped(request.url) }))
      : app
  )
