/** What Stripe tells us. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { largeBodyBytes, MaxBodyBytes } from "./body.ts"
import { always } from "./fields.ts"
import { Idempotency } from "./idempotency.ts"
import { PaymentsNotConfigured, TooManyRequests } from "./problems.ts"

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
    HttpApiEndpoint.post("stripe", "/stripe", {
      success: Schema.Struct({ received: always(true) }),
      error: [PaymentsNotConfigured, TooManyRequests]
    })
      .annotate(MaxBodyBytes, largeBodyBytes)
      // However often it is sent, it is applied once.
      .annotate(Idempotency, "always")
      .annotate(OpenApi.Summary, "An event of Stripe's, signed in Stripe-Signature")
      .annotate(OpenApi.Description, "Taken once it is stored. The body may have 1 MiB.")
      .annotate(OpenApi.Transform, (operation) => ({ ...operation, ...signedEvent }))
  )
  .prefix("/api/v1/webhooks")
  .annotate(OpenApi.Title, "Webhooks")
