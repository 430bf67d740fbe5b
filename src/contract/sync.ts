/** Cloud Sync, paid in credits: what an app asks for the signed-in person. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import { Schema } from "effect"
import { UserAuth } from "./auth.ts"
import { IdempotencyKeyReused, InsufficientCredits, SyncAlreadyActive, SyncGifted, SyncNotActive } from "./errors.ts"
import { credits, idempotencyKey, input, oneOf, optional, wireTime } from "./fields.ts"
import { keyHeaders } from "./headers.ts"

export const interval = oneOf("monthly", "quarterly", "yearly")

const time = (meaning: string) => Schema.NullOr(wireTime).annotations({ description: meaning })

const autoResume = Schema.Boolean.annotations({
  message: () => ({ message: "must be true or false", override: true }),
  jsonSchema: {
    type: "boolean",
    description: "Goes on by itself when credits arrive after they ran out; false until chosen"
  }
})

/** Whether sync is on, and how it goes on. */
export const status = {
  active: Schema.Boolean,
  interval,
  nextChargeAt: time("Null while nothing is to be charged"),
  pausedAt: time("Since when sync is off for want of credits"),
  paidUntil: time("End of the last period paid for, also when sync is off"),
  gifted: Schema.Boolean,
  price: credits("Credits at the next charge"),
  autoResume
}

export const SyncStatus = Schema.Struct(status).annotations({ identifier: "SyncStatus" })

/** What opening or resuming a subscription answers. */
export const activated = {
  active: Schema.Literal(true),
  interval,
  nextChargeAt: wireTime,
  amountCharged: credits("Credits taken just now; 0 inside a period paid before"),
  autoResume
}

export const deactivated = { active: Schema.Literal(false), paidUntil: time("What is paid for stays paid") }

export const changed = {
  interval,
  amountCharged: credits("Credits taken at effectiveAt and from then on, none before"),
  effectiveAt: time("The next charge; null while paused: when sync goes on"),
  autoResume
}

const success = { success: Schema.Literal(true) }

export const sync = HttpApiGroup.make("sync")
  .add(
    HttpApiEndpoint.get("status", "/status")
      .addSuccess(SyncStatus)
      .annotate(OpenApi.Summary, "Whether sync is on, and until when; off and monthly for a new user")
  )
  .add(
    HttpApiEndpoint.post("activate", "/activate")
      .setPayload(
        input({
          interval: optional(interval.annotations({ description: "monthly if left out" })),
          autoResume: optional(autoResume),
          idempotencyKey: optional(idempotencyKey)
        })
      )
      .setHeaders(Schema.Struct(keyHeaders))
      .addSuccess(Schema.Struct({ ...success, ...activated }))
      .addError(InsufficientCredits.schema)
      .addError(IdempotencyKeyReused.schema)
      .addError(SyncAlreadyActive.schema)
      .addError(SyncGifted.schema)
      .annotate(OpenApi.Summary, "Turn sync on, or on again after it paused")
      .annotate(
        OpenApi.Description,
        "The first period is charged at once; nothing inside a period paid before. The time paused is not charged."
      )
  )
  .add(
    HttpApiEndpoint.post("deactivate", "/deactivate")
      .addSuccess(Schema.Struct({ ...success, ...deactivated }))
      .addError(SyncNotActive.schema)
      .addError(SyncGifted.schema)
      .annotate(OpenApi.Summary, "Turn sync off: no further charge")
  )
  .add(
    HttpApiEndpoint.post("changeInterval", "/change-interval")
      .setPayload(input({ interval, autoResume: optional(autoResume) }))
      .addSuccess(Schema.Struct({ ...success, ...changed }))
      .addError(SyncNotActive.schema)
      .addError(SyncGifted.schema)
      .annotate(OpenApi.Summary, "Another interval and its price, from the next charge on")
  )
  .middleware(UserAuth)
  .prefix("/api/v1/sync")
  .annotate(OpenApi.Title, "Sync billing")
