/** Buying credits: for a signed-in person, but for the list of what there is. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import { Schema } from "effect"
import { UserAuth } from "./auth.ts"
import {
  IdempotencyKeyReused,
  PackageInactive,
  PackageNotFound,
  PaymentsNotConfigured,
  PurchaseClosed,
  PurchaseNotFound,
  TooManyRequests
} from "./errors.ts"
import { credits, idempotencyKey, input, optional, text, uuid, wireTime } from "./fields.ts"
import { keyHeaders } from "./headers.ts"
import { keptMetadata } from "./metadata.ts"

const euroCents = (meaning = "Euro cents") =>
  Schema.Number.annotations({ jsonSchema: { type: "integer", description: meaning } })

export const Package = Schema.Struct({
  id: Schema.String,
  name: Schema.String,
  description: Schema.String,
  credits: credits(),
  priceEuroCents: euroCents(),
  stripePriceId: Schema.NullOr(Schema.String),
  active: Schema.Boolean,
  sortOrder: Schema.Number.annotations({ jsonSchema: { type: "integer" } }),
  metadata: keptMetadata
}).annotations({ identifier: "Package" })

export const Purchase = Schema.Struct({
  id: uuid,
  packageId: Schema.String,
  credits: credits("Credits bought"),
  priceEuroCents: euroCents(),
  status: Schema.Literal("pending", "completed", "failed", "cancelled", "refunded"),
  createdAt: wireTime,
  completedAt: Schema.NullOr(wireTime),
  refundedEuroCents: euroCents("Euro cents given back"),
  disputedEuroCents: euroCents("Euro cents that the payer's bank took back"),
  dispute: Schema.NullOr(Schema.Literal("open", "closed", "lost", "won")),
  creditsKept: credits("Credits that what is left of the payment pays for")
}).annotations({ identifier: "Purchase" })

/** Where the buyer comes back to. Whether its origin is one of ours is for the handler to say. */
const returnUrl = text(2000, "Its origin is one of CORS_ORIGINS")

export const Purchasing = Schema.Struct({
  purchaseId: uuid,
  amount: euroCents("Euro cents to pay"),
  credits: credits("Credits to come"),
  clientSecret: Schema.optional(
    Schema.String.annotations({ description: "Of the PaymentIntent, for Stripe's elements in the app" })
  ),
  checkoutUrl: Schema.optional(
    Schema.String.annotations({ description: "Stripe's own page, where both URLs were given" })
  )
}).annotations({ identifier: "Purchasing" })

export const purchases = HttpApiGroup.make("purchases")
  .add(
    HttpApiEndpoint.get("packages", "/packages")
      .addSuccess(Schema.Array(Package))
      .annotate(OpenApi.Summary, "What can be bought")
  )
  .add(
    HttpApiEndpoint.post("purchase", "/purchase")
      .setPayload(
        input({
          packageId: text(64),
          successUrl: optional(returnUrl),
          cancelUrl: optional(returnUrl),
          idempotencyKey: optional(idempotencyKey)
        })
      )
      .setHeaders(Schema.Struct(keyHeaders))
      .addSuccess(Purchasing)
      .addError(PackageNotFound.schema)
      .addError(PackageInactive.schema)
      .addError(PurchaseClosed.schema)
      .addError(TooManyRequests.schema)
      .addError(IdempotencyKeyReused.schema)
      .addError(PaymentsNotConfigured.schema)
      .middleware(UserAuth)
      .annotate(OpenApi.Summary, "Begin to buy a package, by card or SEPA debit")
      .annotate(
        OpenApi.Description,
        "The credits come when the money does: at once by card, after days by SEPA debit. Nothing is charged by this " +
          "call. Asked again with the same key, it goes on with the same payment."
      )
  )
  .add(
    HttpApiEndpoint.get("purchases", "/purchases")
      .addSuccess(Schema.Array(Purchase))
      .middleware(UserAuth)
      .annotate(OpenApi.Summary, "The latest 200 purchases, newest first")
  )
  .add(
    HttpApiEndpoint.get("purchaseById", "/purchase/:id")
      .setPath(Schema.Struct({ id: uuid }))
      .addSuccess(Purchase)
      .addError(PurchaseNotFound.schema)
      .middleware(UserAuth)
      .annotate(OpenApi.Summary, "How a purchase stands")
  )
  .prefix("/api/v1/credits")
  .annotate(OpenApi.Title, "Purchases")
