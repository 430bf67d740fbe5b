/** The whole contract. The server, the typed client and the OpenAPI document all come from it. */
import * as HttpApi from "@effect/platform/HttpApi"
import * as OpenApi from "@effect/platform/OpenApi"
import { admin } from "./admin.ts"
import { credits } from "./credits.ts"
import { InternalError, InvalidRequest, PayloadTooLarge, ServiceUnavailable, TooManyRequests } from "./errors.ts"
import { gifts } from "./gifts.ts"
import { health } from "./health.ts"
import { Debit, internalCredits } from "./internal-credits.ts"
import { internalGifts } from "./internal-gifts.ts"
import { internalSync } from "./internal-sync.ts"
import { purchases } from "./purchases.ts"
import { sync } from "./sync.ts"
import { webhooks } from "./webhooks.ts"

export const Api = HttpApi.make("mana-credits")
  .add(credits)
  .add(purchases)
  .add(gifts)
  .add(sync)
  .add(internalCredits)
  .add(internalGifts)
  .add(internalSync)
  .add(admin)
  .add(webhooks)
  .add(health)
  // What any route may answer.
  .addError(InvalidRequest.schema)
  .addError(PayloadTooLarge.schema)
  .addError(TooManyRequests.schema)
  .addError(ServiceUnavailable.schema)
  .addError(InternalError.schema)
  .annotate(HttpApi.AdditionalSchemas, [Debit])
  .annotate(OpenApi.Title, "mana-credits")
  .annotate(OpenApi.Version, "1")
  .annotate(
    OpenApi.Description,
    "Credits: one is a euro cent, always a whole number. Unknown fields of a request are ignored, and an answer may " +
      "carry more fields than are listed here."
  )

/** What any route may answer, as a handler fails with it. */
export type ApiError = typeof Api extends HttpApi.HttpApi<infer _Id, infer _Groups, infer E, infer _R> ? E : never
