/** For administrators: a user's Cloud Sync, and giving it. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { AdminAuth } from "./auth.ts"
import { always, credits, userId, uuid, wireTime } from "./fields.ts"
import { Idempotency } from "./idempotency.ts"
import { SyncGiftNotFound } from "./problems.ts"
import { interval, status } from "./sync.ts"

const time = Schema.NullOr(wireTime)
const who = Schema.NullOr(Schema.String)

export const SyncDetails = Schema.Struct({
  userId: Schema.String,
  ...status,
  status: Schema.Literals(["inactive", "active", "paused"]).annotate({
    description: "Without the gift, if there is one"
  }),
  giftedBy: who,
  giftedAt: time,
  giftRevokedBy: who,
  giftRevokedAt: time,
  pausedBy: who.annotate({ description: "Who paused it by hand; null when credits ran out" }),
  pausedWhy: who,
  charges: Schema.Array(
    Schema.Struct({
      periodStart: wireTime,
      periodEnd: wireTime,
      interval,
      credits: credits(),
      transactionId: uuid,
      chargedAt: wireTime
    })
  ).annotate({ description: "The last 24, newest first" })
}).annotate({ identifier: "SyncDetails" })

const params = { userId }
const Done = Schema.Struct({ success: always(true), ...SyncDetails.fields })

export const admin = HttpApiGroup.make("admin")
  .add(
    HttpApiEndpoint.get("sync", "/sync/:userId", { params, success: SyncDetails }).annotate(
      OpenApi.Summary,
      "A user's sync, with its gift and its charges"
    )
  )
  .add(
    HttpApiEndpoint.post("giveSync", "/sync/:userId/gift", { params, success: Done })
      .annotate(Idempotency, "always")
      .annotate(OpenApi.Summary, "Give sync: on without charge until revoked; given twice, the first stays")
  )
  .add(
    HttpApiEndpoint.delete("revokeSync", "/sync/:userId/gift", {
      params,
      success: Done,
      error: SyncGiftNotFound
    }).annotate(OpenApi.Summary, "End the gift: what lay underneath goes on")
  )
  .middleware(AdminAuth)
  .prefix("/api/v1/admin")
  .annotate(OpenApi.Title, "Admin")
