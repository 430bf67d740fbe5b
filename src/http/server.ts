/** The whole contract, the pages and their middleware, served by node's HTTP server. */
import { Effect, Layer } from "effect"
import { HttpRouter } from "effect/http"
import { HttpApi, HttpApiBuilder } from "effect/http-api"
import { AppSettings } from "../config.ts"
import { Api } from "../contract/api.ts"
import { layer as batcher } from "../debits/batcher.ts"
import { layer as payments } from "../stripe/stripe.ts"
import { serve } from "./connections/node-server.ts"
import { auth } from "./middleware/auth.ts"
import { jsonBody } from "./middleware/body.ts"
import { cors } from "./middleware/cors.ts"
import { answerFailures, type Route } from "./middleware/failures.ts"
import { publicAccess, RateLimits } from "./middleware/rate-limits.ts"
import { requestLog } from "./middleware/request-log.ts"
import { requestProblems } from "./middleware/request-problems.ts"
import { escapePath } from "./middleware/request-target.ts"
import { admin } from "./routes/admin.ts"
import { credits } from "./routes/credits.ts"
import { documents } from "./routes/documents.ts"
import { giftPage } from "./routes/gift-page.ts"
import { gifts } from "./routes/gifts.ts"
import { health } from "./routes/health.ts"
import { internalCredits } from "./routes/internal-credits.ts"
import { internalGifts } from "./routes/internal-gifts.ts"
import { internalSync } from "./routes/internal-sync.ts"
import { purchases } from "./routes/purchases.ts"
import { sync } from "./routes/sync.ts"
import { webhooks } from "./routes/webhooks.ts"

const handlers = Layer.mergeAll(
  credits,
  purchases,
  gifts,
  sync,
  internalCredits,
  internalGifts,
  internalSync,
  admin,
  webhooks,
  health
)

const middleware = Layer.mergeAll(auth, publicAccess, jsonBody, requestProblems)

// Handlers and routes both ask for the middleware.
const api = HttpApiBuilder.layer(Api).pipe(Layer.provide(handlers), Layer.provide(middleware))

/** Every route by method and pattern, for what is answered where there is none. */
const routesOf = (pages: ReadonlyArray<Route>): ReadonlyArray<Route> => {
  const routes = [...pages]
  HttpApi.reflect(Api, {
    onGroup: () => undefined,
    onEndpoint: ({ endpoint: { method, path } }) => {
      routes.push({ method, path })
    }
  })
  return routes
}

const pages = Layer.mergeAll(giftPage, documents)
const pageRoutes: ReadonlyArray<Route> = ["/g/:code", "/openapi.json", "/docs"].map((path) => ({ method: "GET", path }))

const routerConfig = Layer.succeed(HttpRouter.RouterConfig, {
  caseSensitive: true,
  ignoreDuplicateSlashes: false,
  // Longer than any path can be: the contract says how long a parameter is, not the router with a 404.
  maxParamLength: 1_000_000
})

/**
 * Serves from when it is built until its scope ends. It needs the database first, so it stops before the pool ends.
 * `devRoutes` are development's, besides those of the contract.
 */
export const server = (devRoutes: Layer.Layer<never, never, HttpRouter.HttpRouter> = Layer.empty) =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const { corsOrigins } = yield* AppSettings
      const withFailures = yield* answerFailures(routesOf(pageRoutes))
      const app = yield* HttpRouter.toHttpEffect(Layer.mergeAll(api, pages, devRoutes))
      yield* serve(requestLog(cors(corsOrigins)(withFailures(escapePath(app)))))
    })
  ).pipe(Layer.provide([RateLimits.layer, payments, batcher, routerConfig]))
