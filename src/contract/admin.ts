/** For administrators: a user's Cloud Sync, and giving it. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import { Schema } from "effect"
import { AdminAuth } from "./auth.ts"
import { SyncGiftNotFound } from "./errors.ts"
import { credits, userId, uuid, wireTime } from "./fields.ts"
import { interval, status } from "./sync.ts"

const time = Schema.NullOr(wireTime)
const who = Schema.NullOr(Schema.String)

export const SyncDetails = Schema.Struct({
  userId: Schema.String,
  ...status,
  status: Schema.Literal("inactive", "active", "paused").annotations({
    description: "Without the gift, if there is one"
  }),
  giftedBy: who,
  giftedAt: time,
  giftRevokedBy: who,
  giftRevokedAt: time,
  pausedBy: who.annotations({ description: "Who paused it by hand; null when credits ran out" }),
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
  ).annotations({ description: "The last 24, newest first" })
}).annotations({ identifier: "SyncDetails" })

const path = Schema.Struct({ userId })
const Done = Schema.Struct({ success: Schema.Literal(true), ...SyncDetails.fields })

export const admin = HttpApiGroup.make("admin")
  .add(
    HttpApiEndpoint.get("sync", "/sync/:userId")
      .setPath(path)
      .addSuccess(SyncDetails)
      .annotate(OpenApi.Summary, "A user's sync, with its gift and its charges")
  )
  .add(
    HttpApiEndpoint.post("giveSync", "/sync/:userId/gift")
      .setPath(path)
      .addSuccess(Done)
      .annotate(OpenApi.Summary, "Give sync: on without charge until revoked; given twice, the first stays")
  )
  .add(
    HttpApiEndpoint.del("revokeSync", "/sync/:userId/gift")
      .setPath(path)
      .addSuccess(Done)
      .addError(SyncGiftNotFound.schema)
      .annotate(OpenApi.Summary, "End the gift: what lay underneath goes on")
  )
  .middleware(AdminAuth)
  .prefix("/api/v1/admin")
  .annotate(OpenApi.Title, "Admin")
