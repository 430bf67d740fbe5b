/** Personal credits: what an app may ask for a signed-in person. */
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "@effect/platform"
import { Schema } from "effect"
import { UserAuth } from "./auth.ts"
import { IdempotencyKeyReused, InsufficientCredits } from "./errors.ts"
import { body, keyHeaders } from "./fields.ts"
import { Balance, debit, Debited } from "./ledger.ts"

export const credits = HttpApiGroup.make("credits")
  .add(
    HttpApiEndpoint.get("balance", "/balance")
      .addSuccess(Balance)
      .middleware(UserAuth)
      .annotate(OpenApi.Summary, "The balance; zeros for a new user")
  )
  .add(
    HttpApiEndpoint.post("use", "/use")
      .setPayload(body(debit))
      .setHeaders(Schema.Struct(keyHeaders))
      .addSuccess(Debited)
      .addError(InsufficientCredits.schema)
      .addError(IdempotencyKeyReused.schema)
      .middleware(UserAuth)
      .annotate(OpenApi.Summary, "Spend credits: an amount, or the price of an operation")
  )
  .prefix("/api/v1/credits")
  .annotate(OpenApi.Title, "Personal credits")
