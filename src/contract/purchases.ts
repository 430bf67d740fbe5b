/** Buying credits: for a signed-in person, but for the list of packages. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { Public, UserAuth } from "./auth.ts"
import { JsonBody } from "./body.ts"
import { count, credits, idempotencyKey, input, optional, text, uuid, wireTime } from "./fields.ts"
import { keyHeaders } from "./headers.ts"
import { Idempotency } from "./idempotency.ts"
import { keptMetadata } from "./metadata.ts"
import {
  IdempotencyKeyReused,
  PackageInactive,
  PackageNotFound,
  PaymentsNotConfigured,
  PurchaseClosed,
  PurchaseNotFound,
  TooManyRequests
} from "./problems.ts"

const euroCents = (description = "Euro cents") => count(description)

export const Package = Schema.Struct({
  id: Schema.String,
  name: Schema.String,
  description: Schema.String,
  credits: credits(),
  priceEuroCents: euroCents(),
  stripePriceId: Schema.NullOr(Schema.String),
  active: Schema.Boolean,
  sortOrder: count(),
  metadata: keptMetadata
}).annotate({ identifier: "Package" })

export const Purchase = Schema.Struct({
  id: uuid,
  packageId: Schema.String,
  credits: credits("Credits bought"),
  priceEuroCents: euroCents(),
  status: Schema.Literals(["pending", "completed", "failed", "cancelled", "refunded"]),
  createdAt: wireTime,
  completedAt: Schema.NullOr(wireTime),
  refundedEuroCents: euroCents("Euro cents given back"),
  disputedEuroCents: euroCents("Euro cents that the payer's bank took back"),
  dispute: Schema.NullOr(Schema.Literals(["open", "closed", "lost", "won"])),
  creditsKept: credits("Credits that what is left of the payment pays for")
}).annotate({ identifier: "Purchase" })

/** Where the buyer comes back to. Whether its origin is one of ours is for the handler to say. */
const returnUrl = text(2000, "Its origin is one of CORS_ORIGINS")

export const Purchasing = Schema.Struct({
  purchaseId: uuid,
  amount: euroCents("Euro cents to pay"),
  credits: credits("Credits to come"),
  clientSecret: Schema.optionalKey(
    Schema.String.annotate({ description: "Of the PaymentIntent, for Stripe's elements in the app" })
  ),
  checkoutUrl: Schema.optionalKey(
    Schema.String.annotate({ description: "Stripe's own page, where both URLs were given" })
  )
}).annotate({ identifier: "Purchasing" })

export const purchases = HttpApiGroup.make("purchases")
  .add(
    HttpApiEndpoint.get("packages", "/packages", { success: Schema.Array(Package) })
      .middleware(Public)
      .annotate(OpenApi.Summary, "What can be bought")
  )
  .add(
    HttpApiEndpoint.post("purchase", "/purchase", {
      payload: input({
        packageId: text(64),
        successUrl: optional(returnUrl),
        cancelUrl: optional(returnUrl),
        idempotencyKey: optional(idempotencyKey)
      }),
      headers: keyHeaders,
      success: Purchasing,
      error: [
        PackageNotFound,
        PackageInactive,
        PurchaseClosed,
        TooManyRequests,
        IdempotencyKeyReused,
        PaymentsNotConfigured
      ]
    })
      .middleware(JsonBody)
      .middleware(UserAuth)
      .annotate(Idempotency, "key")
      .annotate(OpenApi.Summary, "Begin to buy a package, by card or SEPA debit")
      .annotate(
        OpenApi.Description,
        "The credits come when the money does: at once by card, after days by SEPA debit. Nothing is charged by this " +
          "call. Asked again with the same key, it goes on with the same payment."
      )
  )
  .add(
    HttpApiEndpoint.get("purchases", "/purchases", { success: Schema.Array(Purchase) })
      .middleware(UserAuth)
      .annotate(OpenApi.Summary, "The latest 200 purchases, newest first")
  )
  .add(
    HttpApiEndpoint.get("purchaseById", "/purchase/:id", {
      params: { id: uuid },
      success: Purchase,
      error: PurchaseNotFound
    })
      .middleware(UserAuth)
      .annotate(OpenApi.Summary, "How a purchase stands")
  )
  .prefix("/api/v1/credits")
  .annotate(OpenApi.Title, "Purchases")
