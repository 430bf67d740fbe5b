/** Internal credits: what a service may do for any user. */
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "@effect/platform"
import { Schema } from "effect"
import { ServiceAuth } from "./auth.ts"
import { IdempotencyKeyReused, InsufficientCredits } from "./errors.ts"
import { body, keyHeaders, serviceHeaders, userId } from "./fields.ts"
import { debit, Debited } from "./ledger.ts"

export const internalCredits = HttpApiGroup.make("internalCredits")
  .add(
    HttpApiEndpoint.post("use", "/use")
      .setPayload(body({ userId, ...debit }))
      .setHeaders(Schema.Struct({ ...keyHeaders, ...serviceHeaders }))
      .addSuccess(Debited)
      .addError(InsufficientCredits.schema)
      .addError(IdempotencyKeyReused.schema)
      .annotate(OpenApi.Summary, "Spend a user's credits: an amount, or the price of an operation")
  )
  .middleware(ServiceAuth)
  .prefix("/api/v1/internal/credits")
  .annotate(OpenApi.Title, "Internal credits")
