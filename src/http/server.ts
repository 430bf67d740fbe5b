/** The whole contract as an app that serves itself on whatever listens. */
import * as Etag from "@effect/platform/Etag"
import * as FileSystem from "@effect/platform/FileSystem"
import * as HttpApi from "@effect/platform/HttpApi"
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpPlatform from "@effect/platform/HttpPlatform"
import type * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import * as Path from "@effect/platform/Path"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodeHttpPlatform from "@effect/platform-node/NodeHttpPlatform"
import * as NodePath from "@effect/platform-node/NodePath"
import { Context, Effect, Layer, Scope } from "effect"
import { AppSettings } from "../config.ts"
import { Api } from "../contract/api.ts"
import { layer as payments } from "../stripe/stripe.ts"
import { layer as together } from "../database/together.ts"
import { admin } from "./admin.ts"
import { makeApp } from "./app.ts"
import { auth } from "./auth.ts"
import { largeBody } from "./body.ts"
import { credits } from "./credits.ts"
import { documents } from "./documents.ts"
import { giftPages } from "./gift-page/page.ts"
import { gifts } from "./gifts.ts"
import { health } from "./health.ts"
import { internalCredits } from "./internal-credits.ts"
import { internalGifts } from "./internal-gifts.ts"
import { internalSync } from "./internal-sync.ts"
import { RequestRates } from "./limits.ts"
import { purchases } from "./purchases.ts"
import { sync } from "./sync.ts"
import { webhooks } from "./webhooks.ts"

const groups = Layer.mergeAll(
  credits,
  purchases,
  gifts,
  sync,
  internalCredits,
  internalGifts,
  internalSync,
  admin,
  webhooks,
  health,
  giftPages,
  documents
).pipe(Layer.provide(auth), Layer.provide(largeBody), Layer.provide(payments), Layer.provide(together))

const app = Effect.gen(function* () {
  // Asked for so that every group has added its routes before they are read.
  yield* HttpApi.Api
  const router = yield* HttpApiBuilder.Router.router
  const { corsOrigins, trustProxy } = yield* AppSettings
  return yield* makeApp(router, { corsOrigins, trustProxy, rates: yield* RequestRates })
})

/** What an app may ask for. Every request copies what it is given several times, so it is given no more than this. */
const asked = (all: Context.Context<HttpServer.HttpServer | HttpRouter.HttpRouter.DefaultServices | Scope.Scope>) =>
  Context.pick(
    HttpServer.HttpServer,
    HttpPlatform.HttpPlatform,
    Etag.Generator,
    FileSystem.FileSystem,
    Path.Path,
    Scope.Scope
  )(all)

/** Serves from when it is built until its scope ends. It needs the database first, so it stops before the pool ends. */
export const server = Layer.scopedDiscard(
  Effect.flatMap(app, (each) => Effect.mapInputContext(HttpServer.serveEffect(each), asked))
).pipe(
  Layer.provide(HttpApiBuilder.api(Api)),
  Layer.provide(groups),
  Layer.provide(HttpApiBuilder.Router.Live),
  // What a route of the platform's may ask for, to answer with a file. None of ours does.
  Layer.provide([NodeHttpPlatform.layer, Etag.layerWeak, NodeFileSystem.layer, NodePath.layer]),
  // Nobody collects spans, and they would cost time. Last, so that it holds while all the others are made.
  Layer.provide(Layer.setTracerEnabled(false))
)
