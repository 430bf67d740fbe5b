/** Internal credits: what a service may do for any user. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { ServiceAuth } from "./auth.ts"
import { JsonBody, largeBodyBytes, MaxBodyBytes } from "./body.ts"
import {
  always,
  amount,
  appId,
  description,
  idempotencyKey,
  input,
  optional,
  text,
  userId,
  uuid,
  whole,
  wireTime
} from "./fields.ts"
import { moneyHeaders, serviceHeaders } from "./headers.ts"
import { Idempotency } from "./idempotency.ts"
import { Balance, charge, debit, Debited, debited, spendable, Transaction } from "./ledger.ts"
import { json, metadata } from "./metadata.ts"
import {
  DailyCapReached,
  IdempotencyKeyReused,
  InsufficientCredits,
  InvalidRequest,
  RefundExceedsCharge,
  ReservationClosed,
  ReservationNotFound,
  TransactionNotFound
} from "./problems.ts"
import { queryTime } from "./query.ts"
import { needs } from "./scopes.ts"

/** One of many debits: what `use` takes. */
export const Debit = Schema.Struct({ userId, ...debit }).annotate({ identifier: "Debit", message: "must be an object" })

/** A key of a whole batch, in characters: `/999` comes behind it. */
export const batchKeyLength = 251

const notABatch = "must be an array of 1 to 1000 debits"

/** Each item is judged by itself, so that a malformed one spoils no other; the document says what one is. */
const items = Schema.Array(json)
  .annotate({ message: notABatch })
  .check(
    Schema.makeFilter((list: ReadonlyArray<unknown>) => list.length >= 1 && list.length <= 1000, {
      message: notABatch,
      toJsonSchema: () => ({ minItems: 1, maxItems: 1000, items: { $ref: "#/components/schemas/Debit" } })
    })
  )

export const UsedOne = Schema.Struct({ ok: Schema.Literal(true), ...debited })

/** The problems of one item of a batch. */
export const itemProblems = [InvalidRequest, InsufficientCredits, IdempotencyKeyReused, DailyCapReached] as const

export const RefusedOne = Schema.Struct({ ok: Schema.Literal(false), error: Schema.Union(itemProblems) })

export const internalCredits = HttpApiGroup.make("internalCredits")
  .add(
    HttpApiEndpoint.get("balance", "/balance/:userId", {
      params: { userId },
      query: { at: Schema.optionalKey(queryTime) },
      headers: serviceHeaders,
      success: Balance
    })
      .annotateMerge(needs("read"))
      .annotate(OpenApi.Summary, "A user's balance, now or at a time")
  )
  .add(
    HttpApiEndpoint.post("use", "/use", {
      payload: input({ userId, ...debit }),
      headers: moneyHeaders,
      success: Debited,
      error: [InsufficientCredits, IdempotencyKeyReused, DailyCapReached]
    })
      .annotateMerge(needs("use"))
      .annotate(Idempotency, "key")
      .annotate(OpenApi.Summary, "Spend a user's credits: an amount, or the price of an operation")
  )
  .add(
    HttpApiEndpoint.post("useBatch", "/use-batch", {
      payload: input({
        items,
        idempotencyKey: optional(text(batchKeyLength, "Of all items that have none of their own; see there"))
      }),
      headers: moneyHeaders,
      success: Schema.Struct({ results: Schema.Array(Schema.Union([UsedOne, RefusedOne])) })
    })
      .annotate(MaxBodyBytes, largeBodyBytes)
      .annotateMerge(needs("use"))
      .annotate(Idempotency, "key")
      .annotate(OpenApi.Summary, "Many debits at once, each its own outcome")
      .annotate(
        OpenApi.Description,
        "In the order asked; each item stands alone. The body may have 1 MiB. With an idempotency key, of at most " +
          `${batchKeyLength} characters, an item without one of its own gets that key and its place: \`<key>/0\`, ` +
          "`<key>/1` …"
      )
  )
  .add(
    HttpApiEndpoint.post("refund", "/refund", {
      payload: input({
        userId,
        amount,
        description,
        appId: optional(appId),
        metadata: optional(metadata),
        transactionId: optional(uuid),
        idempotencyKey: optional(idempotencyKey)
      }),
      headers: moneyHeaders,
      success: Schema.Struct({
        success: always(true),
        transaction: Transaction,
        newBalance: Schema.Struct({ balance: spendable })
      }),
      error: [TransactionNotFound, IdempotencyKeyReused, RefundExceedsCharge]
    })
      .annotateMerge(needs("refund"))
      .annotate(Idempotency, "key")
      .annotate(OpenApi.Summary, "Give credits back, freely or against a charge")
  )
  .add(
    HttpApiEndpoint.post("grant", "/grant", {
      payload: input({
        userId,
        amount,
        reason: text(64),
        referenceId: text(128, "What the grant is for; the same one never grants twice"),
        description: optional(description)
      }),
      headers: serviceHeaders,
      success: Schema.Struct({
        ok: always(true),
        alreadyGranted: Schema.Boolean,
        newBalance: spendable,
        transactionId: uuid
      })
    })
      .annotateMerge(needs("grant"))
      .annotate(Idempotency, "always")
      .annotate(OpenApi.Summary, "Give credits, once per user and reference")
  )
  .add(
    HttpApiEndpoint.post("init", "/init", {
      payload: input({ userId }),
      headers: serviceHeaders,
      success: Balance
    })
      .annotateMerge(needs("init"))
      .annotate(Idempotency, "always")
      .annotate(OpenApi.Summary, "Open an account; an open one stays as it is")
  )
  .add(
    HttpApiEndpoint.post("reserve", "/reserve", {
      payload: input({
        userId,
        ...charge,
        reason: text(200),
        expiresInSeconds: optional(whole(1, 2_592_000, "86400 (a day) if left out; at most 30 days")),
        idempotencyKey: optional(idempotencyKey)
      }),
      headers: moneyHeaders,
      success: Schema.Struct({ reservationId: uuid, balance: spendable, expiresAt: wireTime }),
      error: [InsufficientCredits, IdempotencyKeyReused, DailyCapReached]
    })
      .annotateMerge(needs("reserve"))
      .annotate(Idempotency, "key")
      .annotate(OpenApi.Summary, "Hold credits for a call that will cost money")
  )
  .add(
    HttpApiEndpoint.post("commit", "/commit", {
      payload: input({
        reservationId: uuid,
        amount: optional(whole(1, 1_000_000_000, "Less than was held: the rest is set free")),
        description: optional(description)
      }),
      headers: serviceHeaders,
      success: Schema.Struct({ success: always(true), transactionId: uuid, balance: spendable }),
      error: [ReservationNotFound, ReservationClosed]
    })
      .annotateMerge(needs("reserve"))
      .annotate(Idempotency, "always")
      .annotate(OpenApi.Summary, "Charge what was held")
  )
  .add(
    HttpApiEndpoint.post("refundReservation", "/refund-reservation", {
      payload: input({ reservationId: uuid }),
      headers: serviceHeaders,
      success: Schema.Struct({ success: always(true), balance: spendable }),
      error: [ReservationNotFound, ReservationClosed]
    })
      .annotateMerge(needs("reserve"))
      .annotate(Idempotency, "always")
      .annotate(OpenApi.Summary, "Set a hold free")
  )
  .middleware(JsonBody)
  .middleware(ServiceAuth)
  .prefix("/api/v1/internal/credits")
  .annotate(OpenApi.Title, "Internal credits")
