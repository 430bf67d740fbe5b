/** Gift codes: credits that somebody gives away. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { Public, UserAuth } from "./auth.ts"
import { JsonBody } from "./body.ts"
import {
  always,
  appId,
  credits,
  idempotencyKey,
  input,
  oneOf,
  optional,
  text,
  uuid,
  whole,
  wireTime
} from "./fields.ts"
import { keyHeaders } from "./headers.ts"
import { Idempotency } from "./idempotency.ts"
import { spendable } from "./ledger.ts"
import {
  GiftExpired,
  GiftNotActive,
  GiftNotFound,
  GiftWrongRecipient,
  IdempotencyKeyReused,
  InsufficientCredits,
  TooManyRequests
} from "./problems.ts"
import { queryWhole } from "./query.ts"

const giftType = oneOf("simple", "personalized")
const status = Schema.Literals(["active", "redeemed", "expired", "cancelled"])
export const code = text(64, "As it was sent, in any case, with or without dashes")
const shownCode = Schema.String.annotate({ description: "ABCD-EFGH-JKMN" })
const message = Schema.NullOr(Schema.String)
const creatorName = Schema.NullOr(Schema.String).annotate({ description: "As the giver's token has it" })

/** A gift as SQL knows it. */
const giftRow = {
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
  closedAt: Schema.NullOr(wireTime).annotate({ description: "When it was redeemed, cancelled or swept" })
}

const url = Schema.String.annotate({ description: "The page to send to the gift's recipient" })

export const Gift = Schema.Struct({ ...giftRow, url }).annotate({ identifier: "Gift" })
export type Gift = typeof Gift.Type

export const ReceivedGift = Schema.Struct({
  id: uuid,
  code: shownCode,
  credits: credits(),
  message,
  creatorName,
  redeemedAt: wireTime
}).annotate({ identifier: "ReceivedGift" })

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
}).annotate({ identifier: "LookedUpGift" })
export type LookedUpGift = typeof LookedUpGift.Type

const Redeemed = Schema.Struct({
  success: always(true),
  giftId: uuid,
  transactionId: uuid,
  creditsReceived: credits(),
  newBalance: spendable,
  message,
  creatorName
})

const page = {
  limit: Schema.optionalKey(queryWhole(1, 200)),
  before: Schema.optionalKey(uuid.annotate({ description: "A gift of the list: those that come after it" }))
}

const paged =
  '100 unless `limit` says otherwise. While there is more, a Link header with rel="next" names the next page.'

export const gifts = HttpApiGroup.make("gifts")
  .add(
    HttpApiEndpoint.post("create", "/", {
      payload: input({
        totalCredits: whole(1, 10_000, "Taken from the balance at once"),
        type: optional(giftType.annotate({ description: "personalized if there is a targetEmail, else simple" })),
        targetEmail: optional(text(254, "Only a person who signs in with it can redeem the gift")),
        message: optional(text(500)),
        expirationDays: optional(whole(1, 366, "90 if left out")),
        idempotencyKey: optional(idempotencyKey)
      }),
      headers: keyHeaders,
      success: Schema.Struct({ ...Gift.fields, newBalance: spendable }).pipe(HttpApiSchema.status(201)),
      error: [InsufficientCredits, IdempotencyKeyReused]
    })
      .middleware(JsonBody)
      .middleware(UserAuth)
      .annotate(Idempotency, "key")
      .annotate(OpenApi.Summary, "Give credits away: a code that works once")
  )
  .add(
    HttpApiEndpoint.get("created", "/me/created", { query: page, success: Schema.Array(Gift) })
      .middleware(UserAuth)
      .annotate(OpenApi.Summary, "What I gave, newest first")
      .annotate(OpenApi.Description, paged)
  )
  .add(
    HttpApiEndpoint.get("received", "/me/received", {
      query: page,
      success: Schema.Array(ReceivedGift),
      error: GiftNotFound
    })
      .middleware(UserAuth)
      .annotate(OpenApi.Summary, "What I redeemed, newest first")
      .annotate(OpenApi.Description, paged)
  )
  .add(
    HttpApiEndpoint.get("lookUp", "/:code", {
      params: { code },
      success: LookedUpGift,
      error: [GiftNotFound, TooManyRequests]
    })
      .middleware(Public)
      .annotate(OpenApi.Summary, "What a code is worth")
      .annotate(OpenApi.Description, "30 codes that don't exist within a minute from one address, then 429.")
  )
  .add(
    HttpApiEndpoint.post("redeem", "/:code/redeem", {
      params: { code },
      payload: input({ sourceAppId: optional(appId), idempotencyKey: optional(idempotencyKey) }),
      headers: keyHeaders,
      success: Redeemed,
      error: [GiftNotFound, GiftNotActive, GiftExpired, GiftWrongRecipient, IdempotencyKeyReused, TooManyRequests]
    })
      .middleware(JsonBody)
      .middleware(UserAuth)
      .annotate(Idempotency, "key")
      .annotate(OpenApi.Summary, "Take the credits of a gift")
      .annotate(OpenApi.Description, "10 codes that don't exist within a minute, then 429.")
  )
  .add(
    HttpApiEndpoint.delete("cancel", "/:id", {
      params: { id: uuid.annotate({ description: "The gift's id, not its code" }) },
      success: Schema.Struct({ success: always(true), refundedCredits: credits(), newBalance: spendable }),
      error: [GiftNotFound, GiftNotActive, GiftExpired]
    })
      .middleware(UserAuth)
      .annotate(OpenApi.Summary, "Take back a gift that nobody has redeemed")
  )
  .prefix("/api/v1/gifts")
  .annotate(OpenApi.Title, "Gift codes")
