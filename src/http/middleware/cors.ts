/** Which browser pages may call us: exact origins; without any, none may. */
import { Effect } from "effect"
import { HttpMiddleware, HttpServerRequest, HttpServerResponse } from "effect/http"

type App<E, R> = Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>

const isPreflight = ({ method, headers }: HttpServerRequest.HttpServerRequest) =>
  method === "OPTIONS" && headers["access-control-request-method"] !== undefined

const headersFor = (origins: ReadonlySet<string>) =>
  HttpMiddleware.cors({
    allowedOrigins: origins.has("*") ? [] : (origin) => origins.has(origin),
    allowedMethods: ["GET", "POST", "DELETE"],
    allowedHeaders: ["Authorization", "Content-Type", "Idempotency-Key", "X-App-Id", "X-Request-Id"],
    exposedHeaders: ["Idempotency-Replayed", "Link", "Retry-After", "X-Request-Id"],
    // How long a browser may remember the response to a preflight, in seconds.
    maxAge: 600
  })

const noContent = Effect.succeed(HttpServerResponse.empty({ status: 204 }))

export const cors = (origins: ReadonlyArray<string>) => {
  const withHeaders = headersFor(new Set(origins))
  return <E, R>(app: App<E, R>): App<E, R | HttpServerRequest.HttpServerRequest> => {
    const preflight = origins.length === 0 ? noContent : withHeaders(noContent)
    const others = origins.length === 0 ? app : withHeaders(app)
    return Effect.flatMap(
      HttpServerRequest.HttpServerRequest,
      (request): App<E, R | HttpServerRequest.HttpServerRequest> => {
        if (isPreflight(request)) return preflight
        // The library takes every OPTIONS for a preflight.
        return request.method === "OPTIONS" ? app : others
      }
    )
  }
}
