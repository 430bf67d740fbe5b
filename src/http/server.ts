/** The whole contract as an app that serves itself on whatever listens. */
import * as HttpApi from "@effect/platform/HttpApi"
import type * as SqlClient from "@effect/sql/SqlClient"
import { Effect, Layer, RuntimeFlags } from "effect"
import { AppSettings } from "../config.ts"
import { Api } from "../contract/api.ts"
import { layer as together, type Together } from "../database/together.ts"
import { type Payments, layer as payments } from "../stripe/stripe.ts"
import type { WorkerHealth } from "../worker/health.ts"
import { admin } from "./admin.ts"
import { makeApp } from "./app.ts"
import { auth } from "./auth.ts"
import type { Auth } from "./callers.ts"
import { credits } from "./credits.ts"
import { documents } from "./documents.ts"
import { giftPages } from "./gift-page/page.ts"
import { gifts } from "./gifts.ts"
import { health } from "./health.ts"
import { internalCredits } from "./internal-credits.ts"
import { internalGifts } from "./internal-gifts.ts"
import { internalSync } from "./internal-sync.ts"
import { RequestRates } from "./limits.ts"
import { Listener } from "./listener.ts"
import { purchases } from "./purchases.ts"
import type { Route } from "./route.ts"
import { sync } from "./sync.ts"
import { webhooks } from "./webhooks.ts"

/** A route that the contract knows, and the handlers don't or for others, keeps the process from starting. */
export const checkContract = (routes: ReadonlyArray<Route<unknown>>) =>
  HttpApi.reflect(Api, {
    onGroup: () => undefined,
    onEndpoint: ({ endpoint: { method, path }, middleware }) => {
      const found = routes.find((route) => route.method === method && route.path === path)
      if (found === undefined) throw new Error(`Nobody answers ${method} ${path}`)
      if ([...middleware].map(({ key }) => key).join() !== (found.middleware ?? "")) {
        throw new Error(`${method} ${path} isn't for those whom the contract names`)
      }
    }
  })

/** What the handlers ask for. */
type Needs = AppSettings | Auth | Payments | SqlClient.SqlClient | Together | WorkerHealth

const allRoutes = Effect.map(gifts, (ofGifts): ReadonlyArray<Route<Needs>> => [
  ...credits,
  ...purchases,
  ...ofGifts,
  ...sync,
  ...internalCredits,
  ...internalGifts,
  ...internalSync,
  ...admin,
  ...webhooks,
  ...health,
  ...giftPages,
  ...documents
])

/**
 * Serves from when it is built until its scope ends. It needs the database first, so it stops before the pool ends.
 * `doors` are routes besides those of the contract.
 */
export const server = (doors: ReadonlyArray<Route<never>> = []) =>
  Layer.scopedDiscard(
    Effect.gen(function* () {
      const routes = yield* allRoutes
      checkContract(routes)
      const { corsOrigins, trustProxy } = yield* AppSettings
      const { serve } = yield* Listener
      yield* serve(makeApp([...routes, ...doors], { corsOrigins, trustProxy, rates: yield* RequestRates }))
    })
  ).pipe(
    Layer.provide([auth, payments, together]),
    // Nobody collects spans or counts fibers, and both would cost time. Last, so that it holds while all the others are
    // made.
    Layer.provide(Layer.merge(Layer.setTracerEnabled(false), RuntimeFlags.disableRuntimeMetrics))
  )
