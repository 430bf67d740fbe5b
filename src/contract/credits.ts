/** Personal credits: what an app may ask for a signed-in person. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import { Schema } from "effect"
import { UserAuth } from "./auth.ts"
import { IdempotencyKeyReused, InsufficientCredits, TransactionNotFound } from "./errors.ts"
import { appId, credits as sum, input, oneOf, uuid } from "./fields.ts"
import { keyHeaders } from "./headers.ts"
import { Balance, debit, Debited, Transaction, TransactionType } from "./ledger.ts"
import { queryTime, queryWhole } from "./query.ts"

export const Usage = Schema.Array(
  Schema.Struct({
    day: Schema.optional(Schema.String.annotations({ jsonSchema: { type: "string", format: "date" } })),
    appId: Schema.optional(Schema.String),
    creditsUsed: sum(),
    count: Schema.Number.annotations({ jsonSchema: { type: "integer", description: "How many debits" } })
  }).annotations({ identifier: "Usage" })
)

export const Pricing = Schema.Array(
  Schema.Struct({
    operation: Schema.String,
    name: Schema.String,
    description: Schema.String,
    category: Schema.Literal("ai", "premium"),
    app: Schema.String,
    credits: sum(),
    unit: Schema.String.annotations({ description: "What the credits pay one of" })
  }).annotations({ identifier: "Price" })
)

export const credits = HttpApiGroup.make("credits")
  .add(
    HttpApiEndpoint.get("balance", "/balance")
      .addSuccess(Balance)
      .middleware(UserAuth)
      .annotate(OpenApi.Summary, "The balance; zeros for a new user")
  )
  .add(
    HttpApiEndpoint.post("use", "/use")
      .setPayload(input(debit))
      .setHeaders(Schema.Struct(keyHeaders))
      .addSuccess(Debited)
      .addError(InsufficientCredits.schema)
      .addError(IdempotencyKeyReused.schema)
      .middleware(UserAuth)
      .annotate(OpenApi.Summary, "Spend credits: an amount, or the price of an operation")
  )
  .add(
    HttpApiEndpoint.get("transactions", "/transactions")
      .setUrlParams(
        input({
          limit: Schema.optional(queryWhole(1, 200)),
          offset: Schema.optional(queryWhole(0, 1_000_000)),
          before: Schema.optional(uuid),
          type: Schema.optional(TransactionType),
          appId: Schema.optional(appId),
          from: Schema.optional(queryTime),
          to: Schema.optional(queryTime)
        })
      )
      .addSuccess(Schema.Array(Transaction))
      .addError(TransactionNotFound.schema)
      .middleware(UserAuth)
      .annotate(OpenApi.Summary, "The ledger, newest first")
      .annotate(
        OpenApi.Description,
        '50 rows unless `limit` says otherwise. While there is more, a Link header with rel="next" names the next page.'
      )
  )
  .add(
    HttpApiEndpoint.get("usage", "/usage")
      .setUrlParams(
        input({
          from: Schema.optional(queryTime),
          to: Schema.optional(queryTime),
          groupBy: Schema.optional(oneOf("day", "app"))
        })
      )
      .addSuccess(Usage)
      .middleware(UserAuth)
      .annotate(OpenApi.Summary, "What was spent, by UTC day and app, or by one of the two")
  )
  .add(HttpApiEndpoint.get("pricing", "/pricing").addSuccess(Pricing).annotate(OpenApi.Summary, "The price list"))
  .prefix("/api/v1/credits")
  .annotate(OpenApi.Title, "Personal credits")
