/** What Stripe tells us. */
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "@effect/platform"
import { Schema } from "effect"
import { PaymentsNotConfigured } from "./errors.ts"
import { LargeBody } from "./large-body.ts"

export const webhooks = HttpApiGroup.make("webhooks")
  .add(
    // No payload: the signature is over the body as it came.
    HttpApiEndpoint.post("stripe", "/stripe")
      .addSuccess(Schema.Struct({ received: Schema.Literal(true) }))
      .addError(PaymentsNotConfigured.schema)
      .middleware(LargeBody)
      .annotate(OpenApi.Summary, "An event of Stripe's, signed in Stripe-Signature")
      .annotate(OpenApi.Description, "Taken once it is stored. The body may have 1 MiB.")
  )
  .prefix("/api/v1/webhooks")
  .annotate(OpenApi.Title, "Webhooks")
