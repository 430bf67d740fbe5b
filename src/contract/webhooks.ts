/** What Stripe tells us. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import { Schema } from "effect"
import { PaymentsNotConfigured } from "./errors.ts"
import { largeBodyBytes, MaxBodyBytes } from "./body.ts"

/** What HttpApi can't say of a body that it doesn't read. */
const signedEvent = {
  parameters: [
    {
      name: "stripe-signature",
      in: "header",
      required: true,
      schema: { type: "string", description: "Over the body as it is, with STRIPE_WEBHOOK_SECRET" }
    }
  ],
  requestBody: {
    required: true,
    content: { "application/json": { schema: { type: "object", description: "An event, as Stripe sends it" } } }
  }
}

export const webhooks = HttpApiGroup.make("webhooks")
  .add(
    // No payload: the signature is over the body as it came.
    HttpApiEndpoint.post("stripe", "/stripe")
      .addSuccess(Schema.Struct({ received: Schema.Literal(true) }))
      .addError(PaymentsNotConfigured.schema)
      .annotate(MaxBodyBytes, largeBodyBytes)
      .annotate(OpenApi.Summary, "An event of Stripe's, signed in Stripe-Signature")
      .annotate(OpenApi.Description, "Taken once it is stored. The body may have 1 MiB.")
      .annotate(OpenApi.Transform, (operation) => ({ ...operation, ...signedEvent }))
  )
  .prefix("/api/v1/webhooks")
  .annotate(OpenApi.Title, "Webhooks")
