/** Gift codes: credits that somebody gives away. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import { Schema } from "effect"
import { UserAuth } from "./auth.ts"
import {
  GiftExpired,
  GiftNotActive,
  GiftNotFound,
  GiftWrongRecipient,
  IdempotencyKeyReused,
  InsufficientCredits,
  TooManyRequests
} from "./errors.ts"
import { appId, credits, idempotencyKey, input, oneOf, optional, text, uuid, whole, wireTime } from "./fields.ts"
import { keyHeaders } from "./headers.ts"
import { spendable } from "./ledger.ts"
import { queryWhole } from "./query.ts"

const giftType = oneOf("simple", "personalized")
const status = Schema.Literal("active", "redeemed", "expired", "cancelled")
export const code = text(64, "As it was sent, in any case, with or without dashes")
const shownCode = Schema.String.annotations({ description: "ABCD-EFGH-JKMN" })
const message = Schema.NullOr(Schema.String)
const creatorName = Schema.NullOr(Schema.String).annotations({ description: "As the giver's token has it" })

/** A gift as SQL knows it. */
export const gift = {
  id: uuid,
  code: shownCode,
  type: giftType,
  status,
  totalCredits: credits(),
  redeemed: Schema.Boolean,
  targetEmail: Schema.NullOr(Schema.String),
  message,
  expiresAt: wireTime,
  createdAt: wireTime,
  closedAt: Schema.NullOr(wireTime).annotations({ description: "When it was redeemed, cancelled or swept" })
}

const url = Schema.String.annotations({ description: "The page to send to whom the gift is for" })

export const Gift = Schema.Struct({ ...gift, url }).annotations({ identifier: "Gift" })

export const ReceivedGift = Schema.Struct({
  id: uuid,
  code: shownCode,
  credits: credits(),
  message,
  creatorName,
  redeemedAt: wireTime
}).annotations({ identifier: "ReceivedGift" })

/** What anybody sees who has the code. */
export const LookedUpGift = Schema.Struct({
  code: shownCode,
  type: giftType,
  status,
  totalCredits: credits(),
  redeemed: Schema.Boolean,
  isPersonalized: Schema.Boolean,
  message,
  creatorName,
  expiresAt: wireTime
}).annotations({ identifier: "LookedUpGift" })
export type LookedUpGift = typeof LookedUpGift.Type

/** What a redemption brought. */
export const redemption = {
  giftId: uuid,
  transactionId: uuid,
  creditsReceived: credits(),
  newBalance: spendable,
  message,
  creatorName
}

const page = input({
  limit: Schema.optional(queryWhole(1, 200)),
  before: Schema.optional(uuid.annotations({ description: "A gift of the list: those that come after it" }))
})

const paged =
  '100 unless `limit` says otherwise. While there is more, a Link header with rel="next" names the next page.'

export const gifts = HttpApiGroup.make("gifts")
  .add(
    HttpApiEndpoint.post("create", "/")
      .setPayload(
        input({
          totalCredits: whole(1, 10_000, "Taken from the balance at once"),
          type: optional(giftType.annotations({ description: "personalized if there is a targetEmail, else simple" })),
          targetEmail: optional(text(254, "Whoever signs in with it, and nobody else, can redeem the gift")),
          message: optional(text(500)),
          expirationDays: optional(whole(1, 366, "90 if left out")),
          idempotencyKey: optional(idempotencyKey)
        })
      )
      .setHeaders(Schema.Struct(keyHeaders))
      .addSuccess(Schema.Struct({ ...Gift.fields, newBalance: spendable }), { status: 201 })
      .addError(InsufficientCredits.schema)
      .addError(IdempotencyKeyReused.schema)
      .middleware(UserAuth)
      .annotate(OpenApi.Summary, "Give credits away: a code that works once")
  )
  .add(
    HttpApiEndpoint.get("created", "/me/created")
      .setUrlParams(page)
      .addSuccess(Schema.Array(Gift))
      .middleware(UserAuth)
      .annotate(OpenApi.Summary, "What I gave, newest first")
      .annotate(OpenApi.Description, paged)
  )
  .add(
    HttpApiEndpoint.get("received", "/me/received")
      .setUrlParams(page)
      .addSuccess(Schema.Array(ReceivedGift))
      .addError(GiftNotFound.schema)
      .middleware(UserAuth)
      .annotate(OpenApi.Summary, "What I redeemed, newest first")
      .annotate(OpenApi.Description, paged)
  )
  .add(
    HttpApiEndpoint.get("lookUp", "/:code")
      .setPath(Schema.Struct({ code }))
      .addSuccess(LookedUpGift)
      .addError(GiftNotFound.schema)
      .addError(TooManyRequests.schema)
      .annotate(OpenApi.Summary, "What a code is worth")
      .annotate(OpenApi.Description, "30 codes that don't exist within a minute from one address, then 429.")
  )
  .add(
    HttpApiEndpoint.post("redeem", "/:code/redeem")
      .setPath(Schema.Struct({ code }))
      .setPayload(input({ sourceAppId: optional(appId), idempotencyKey: optional(idempotencyKey) }))
      .setHeaders(Schema.Struct(keyHeaders))
      .addSuccess(Schema.Struct({ success: Schema.Literal(true), ...redemption }))
      .addError(GiftNotFound.schema)
      .addError(GiftNotActive.schema)
      .addError(GiftExpired.schema)
      .addError(GiftWrongRecipient.schema)
      .addError(IdempotencyKeyReused.schema)
      .addError(TooManyRequests.schema)
      .middleware(UserAuth)
      .annotate(OpenApi.Summary, "Take the credits of a gift")
      .annotate(OpenApi.Description, "10 codes that don't exist within a minute, then 429.")
  )
  .add(
    HttpApiEndpoint.del("cancel", "/:id")
      .setPath(Schema.Struct({ id: uuid }))
      .addSuccess(Schema.Struct({ success: Schema.Literal(true), refundedCredits: credits(), newBalance: spendable }))
      .addError(GiftNotFound.schema)
      .addError(GiftNotActive.schema)
      .addError(GiftExpired.schema)
      .middleware(UserAuth)
      .annotate(OpenApi.Summary, "Take back a gift that nobody has redeemed")
  )
  .prefix("/api/v1/gifts")
  .annotate(OpenApi.Title, "Gift codes")
