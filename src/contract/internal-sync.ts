/** Internal sync: for services, and the charge run by hand. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { ServiceAuth } from "./auth.ts"
import { count, userId } from "./fields.ts"
import { serviceHeaders } from "./headers.ts"
import { Idempotency } from "./idempotency.ts"
import { needs } from "./scopes.ts"
import { SyncStatus } from "./sync.ts"

/** What a charge run did. */
export const ChargeRun = Schema.Struct({
  charged: count("Periods charged"),
  paused: count("Subscriptions paused for want of credits"),
  errors: count("Subscriptions that can't be charged for another reason; tried again later"),
  total: count("All of them")
}).annotate({ identifier: "ChargeRun" })

export const internalSync = HttpApiGroup.make("internalSync")
  .add(
    HttpApiEndpoint.get("status", "/status/:userId", {
      params: { userId },
      headers: serviceHeaders,
      success: SyncStatus
    })
      .annotateMerge(needs("read"))
      .annotate(OpenApi.Summary, "Whether a user's sync is on")
  )
  .add(
    // Sent again after a lost connection it can't charge a period twice.
    HttpApiEndpoint.post("chargeRecurring", "/charge-recurring", { headers: serviceHeaders, success: ChargeRun })
      .annotateMerge(needs("sync"))
      .annotate(Idempotency, "always")
      .annotate(OpenApi.Summary, "Charge what is due now, as the clock does every hour")
  )
  .middleware(ServiceAuth)
  .prefix("/api/v1/internal/sync")
  .annotate(OpenApi.Title, "Internal sync")
