/** Internal sync: for services of ours, and the charge run by hand. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import { Schema } from "effect"
import { ServiceAuth } from "./auth.ts"
import { userId } from "./fields.ts"
import { serviceHeaders } from "./headers.ts"
import { needs } from "./scopes.ts"
import { SyncStatus } from "./sync.ts"

const periods = (meaning: string) =>
  Schema.Number.annotations({ jsonSchema: { type: "integer", description: meaning } })

/** What a charge run did. */
export const ChargeRun = Schema.Struct({
  charged: periods("Periods charged"),
  paused: periods("Subscriptions paused for want of credits"),
  errors: periods("Subscriptions that can't be charged for another reason; tried again later"),
  total: periods("All of them")
}).annotations({ identifier: "ChargeRun" })

const headers = Schema.Struct(serviceHeaders)

export const internalSync = HttpApiGroup.make("internalSync")
  .add(
    HttpApiEndpoint.get("status", "/status/:userId")
      .setPath(Schema.Struct({ userId }))
      .setHeaders(headers)
      .addSuccess(SyncStatus)
      .annotateContext(needs("read"))
      .annotate(OpenApi.Summary, "Whether a user's sync is on")
  )
  .add(
    HttpApiEndpoint.post("chargeRecurring", "/charge-recurring")
      .setHeaders(headers)
      .addSuccess(ChargeRun)
      .annotateContext(needs("sync"))
      .annotate(OpenApi.Summary, "Charge what is due now, as the clock does every hour")
  )
  .middleware(ServiceAuth)
  .prefix("/api/v1/internal/sync")
  .annotate(OpenApi.Title, "Internal sync")
