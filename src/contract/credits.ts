/** Personal credits: what an app may ask for a signed-in person. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { Public, UserAuth } from "./auth.ts"
import { JsonBody } from "./body.ts"
import { appId, count, credits as sum, input, oneOf, uuid } from "./fields.ts"
import { keyHeaders } from "./headers.ts"
import { Idempotency } from "./idempotency.ts"
import { Balance, debit, Debited, Transaction, TransactionType } from "./ledger.ts"
import { IdempotencyKeyReused, InsufficientCredits, TransactionNotFound } from "./problems.ts"
import { queryTime, queryWhole } from "./query.ts"

export const Usage = Schema.Array(
  Schema.Struct({
    day: Schema.optionalKey(Schema.String.annotate({ format: "date" })),
    appId: Schema.optionalKey(Schema.String),
    creditsUsed: sum(),
    count: count("How many debits")
  }).annotate({ identifier: "Usage" })
)

export const Pricing = Schema.Array(
  Schema.Struct({
    operation: Schema.String,
    name: Schema.String,
    description: Schema.String,
    category: Schema.Literals(["ai", "premium"]),
    app: Schema.String,
    credits: sum(),
    unit: Schema.String.annotate({ description: "What the credits pay one of" })
  }).annotate({ identifier: "Price" })
)

export const credits = HttpApiGroup.make("credits")
  .add(
    HttpApiEndpoint.get("balance", "/balance", { success: Balance })
      .middleware(UserAuth)
      .annotate(OpenApi.Summary, "The balance; zeros for a new user")
  )
  .add(
    HttpApiEndpoint.post("use", "/use", {
      payload: input(debit),
      headers: keyHeaders,
      success: Debited,
      error: [InsufficientCredits, IdempotencyKeyReused]
    })
      .middleware(JsonBody)
      .middleware(UserAuth)
      .annotate(Idempotency, "key")
      .annotate(OpenApi.Summary, "Spend credits: an amount, or the price of an operation")
  )
  .add(
    HttpApiEndpoint.get("transactions", "/transactions", {
      query: {
        limit: Schema.optionalKey(queryWhole(1, 200)),
        offset: Schema.optionalKey(queryWhole(0, 1_000_000)),
        before: Schema.optionalKey(uuid),
        type: Schema.optionalKey(TransactionType),
        appId: Schema.optionalKey(appId),
        from: Schema.optionalKey(queryTime),
        to: Schema.optionalKey(queryTime)
      },
      success: Schema.Array(Transaction),
      error: TransactionNotFound
    })
      .middleware(UserAuth)
      .annotate(OpenApi.Summary, "The ledger, newest first")
      .annotate(
        OpenApi.Description,
        '50 rows unless `limit` says otherwise. While there is more, a Link header with rel="next" names the next page.'
      )
  )
  .add(
    HttpApiEndpoint.get("usage", "/usage", {
      query: {
        from: Schema.optionalKey(queryTime),
        to: Schema.optionalKey(queryTime),
        groupBy: Schema.optionalKey(oneOf("day", "app"))
      },
      success: Usage
    })
      .middleware(UserAuth)
      .annotate(OpenApi.Summary, "What was spent, by UTC day and app, or by one of the two")
  )
  .add(
    HttpApiEndpoint.get("pricing", "/pricing", { success: Pricing })
      .middleware(Public)
      .annotate(OpenApi.Summary, "The price list")
  )
  .prefix("/api/v1/credits")
  .annotate(OpenApi.Title, "Personal credits")
