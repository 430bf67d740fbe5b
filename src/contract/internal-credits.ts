/** Internal credits: what a service may do for any user. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import { Schema } from "effect"
import { ServiceAuth } from "./auth.ts"
import {
  DailyCapReached,
  IdempotencyKeyReused,
  InsufficientCredits,
  InvalidRequest,
  RefundExceedsCharge,
  ReservationClosed,
  ReservationNotFound,
  TransactionNotFound
} from "./errors.ts"
import {
  amount,
  appId,
  input,
  description,
  idempotencyKey,
  optional,
  text,
  userId,
  uuid,
  whole,
  wireTime
} from "./fields.ts"
import { keyHeaders, serviceHeaders } from "./headers.ts"
import { largeBodyBytes, MaxBodyBytes } from "./body.ts"
import { Balance, charge, debit, Debited, debited, spendable, Transaction } from "./ledger.ts"
import { metadata } from "./metadata.ts"
import { queryTime } from "./query.ts"
import { needs } from "./scopes.ts"

/** One of many debits: what `use` takes. */
export const Debit = Schema.Struct({ userId, ...debit }).annotations({ identifier: "Debit" })

/** A key of a whole batch, in characters: `/999` comes behind it. */
export const batchKeyLength = 251

/** Each item is judged by itself, so that a malformed one spoils no other. */
const items = Schema.Array(Schema.Unknown.annotations({ jsonSchema: { $ref: "#/components/schemas/Debit" } }))
  .pipe(Schema.filter((list) => list.length >= 1 && list.length <= 1000))
  .annotations({
    message: () => ({ message: "must be an array of 1 to 1000 debits", override: true }),
    jsonSchema: { type: "array", items: { $ref: "#/components/schemas/Debit" }, minItems: 1, maxItems: 1000 }
  })

export const UsedOne = Schema.Struct({ ok: Schema.Literal(true), ...debited })

export const RefusedOne = Schema.Struct({
  ok: Schema.Literal(false),
  error: Schema.Union(
    InvalidRequest.schema,
    InsufficientCredits.schema,
    IdempotencyKeyReused.schema,
    DailyCapReached.schema
  )
})

const moneyHeaders = Schema.Struct({ ...keyHeaders, ...serviceHeaders })
const headers = Schema.Struct(serviceHeaders)

export const internalCredits = HttpApiGroup.make("internalCredits")
  .add(
    HttpApiEndpoint.get("balance", "/balance/:userId")
      .setPath(Schema.Struct({ userId }))
      .setUrlParams(input({ at: Schema.optional(queryTime) }))
      .setHeaders(headers)
      .addSuccess(Balance)
      .annotateContext(needs("read"))
      .annotate(OpenApi.Summary, "A user's balance, now or at a time")
  )
  .add(
    HttpApiEndpoint.post("use", "/use")
      .setPayload(input({ userId, ...debit }))
      .setHeaders(moneyHeaders)
      .addSuccess(Debited)
      .addError(InsufficientCredits.schema)
      .addError(IdempotencyKeyReused.schema)
      .addError(DailyCapReached.schema)
      .annotateContext(needs("use"))
      .annotate(OpenApi.Summary, "Spend a user's credits: an amount, or the price of an operation")
  )
  .add(
    HttpApiEndpoint.post("useBatch", "/use-batch")
      .setPayload(
        input({
          items,
          idempotencyKey: optional(text(batchKeyLength, "Of all items that have none of their own; see there"))
        })
      )
      .setHeaders(moneyHeaders)
      .addSuccess(Schema.Struct({ results: Schema.Array(Schema.Union(UsedOne, RefusedOne)) }))
      .annotate(MaxBodyBytes, largeBodyBytes)
      .annotateContext(needs("use"))
      .annotate(OpenApi.Summary, "Many debits at once, each its own outcome")
      .annotate(
        OpenApi.Description,
        "In the order asked; each item stands alone. The body may have 1 MiB. With an idempotency key, of at most " +
          `${batchKeyLength} characters, an item without one of its own gets that key and its place: \`<key>/0\`, ` +
          "`<key>/1` …"
      )
  )
  .add(
    HttpApiEndpoint.post("refund", "/refund")
      .setPayload(
        input({
          userId,
          amount,
          description,
          appId: optional(appId),
          metadata: optional(metadata),
          transactionId: optional(uuid),
          idempotencyKey: optional(idempotencyKey)
        })
      )
      .setHeaders(moneyHeaders)
      .addSuccess(
        Schema.Struct({
          success: Schema.Literal(true),
          transaction: Transaction,
          newBalance: Schema.Struct({ balance: spendable })
        })
      )
      .addError(TransactionNotFound.schema)
      .addError(IdempotencyKeyReused.schema)
      .addError(RefundExceedsCharge.schema)
      .annotateContext(needs("refund"))
      .annotate(OpenApi.Summary, "Give credits back, freely or against a charge")
  )
  .add(
    HttpApiEndpoint.post("grant", "/grant")
      .setPayload(
        input({
          userId,
          amount,
          reason: text(64),
          referenceId: text(128, "What the grant is for; the same one never grants twice"),
          description: optional(description)
        })
      )
      .setHeaders(headers)
      .addSuccess(
        Schema.Struct({
          ok: Schema.Literal(true),
          alreadyGranted: Schema.Boolean,
          newBalance: spendable,
          transactionId: uuid
        })
      )
      .annotateContext(needs("grant"))
      .annotate(OpenApi.Summary, "Give credits, once per user and reference")
  )
  .add(
    HttpApiEndpoint.post("init", "/init")
      .setPayload(input({ userId }))
      .setHeaders(headers)
      .addSuccess(Balance)
      .annotateContext(needs("init"))
      .annotate(OpenApi.Summary, "Open an account; an open one stays as it is")
  )
  .add(
    HttpApiEndpoint.post("reserve", "/reserve")
      .setPayload(
        input({
          userId,
          ...charge,
          reason: text(200),
          expiresInSeconds: optional(whole(1, 2_592_000, "86400 (a day) if left out; at most 30 days")),
          idempotencyKey: optional(idempotencyKey)
        })
      )
      .setHeaders(moneyHeaders)
      .addSuccess(Schema.Struct({ reservationId: uuid, balance: spendable, expiresAt: wireTime }))
      .addError(InsufficientCredits.schema)
      .addError(IdempotencyKeyReused.schema)
      .addError(DailyCapReached.schema)
      .annotateContext(needs("reserve"))
      .annotate(OpenApi.Summary, "Hold credits for a call that will cost money")
  )
  .add(
    HttpApiEndpoint.post("commit", "/commit")
      .setPayload(
        input({
          reservationId: uuid,
          amount: optional(whole(1, 1_000_000_000, "Less than was held: the rest is set free")),
          description: optional(description)
        })
      )
      .setHeaders(headers)
      .addSuccess(Schema.Struct({ success: Schema.Literal(true), transactionId: uuid, balance: spendable }))
      .addError(ReservationNotFound.schema)
      .addError(ReservationClosed.schema)
      .annotateContext(needs("reserve"))
      .annotate(OpenApi.Summary, "Charge what was held")
  )
  .add(
    HttpApiEndpoint.post("refundReservation", "/refund-reservation")
      .setPayload(input({ reservationId: uuid }))
      .setHeaders(headers)
      .addSuccess(Schema.Struct({ success: Schema.Literal(true), balance: spendable }))
      .addError(ReservationNotFound.schema)
      .addError(ReservationClosed.schema)
      .annotateContext(needs("reserve"))
      .annotate(OpenApi.Summary, "Set a hold free")
  )
  .middleware(ServiceAuth)
  .prefix("/api/v1/internal/credits")
  .annotate(OpenApi.Title, "Internal credits")
