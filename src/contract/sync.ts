/** Cloud Sync, paid in credits: what an app asks for the signed-in person. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { UserAuth } from "./auth.ts"
import { JsonBody } from "./body.ts"
import { always, credits, idempotencyKey, input, oneOf, optional, wireTime } from "./fields.ts"
import { keyHeaders } from "./headers.ts"
import { Idempotency } from "./idempotency.ts"
import { IdempotencyKeyReused, InsufficientCredits, SyncAlreadyActive, SyncGifted, SyncNotActive } from "./problems.ts"

export const interval = oneOf("monthly", "quarterly", "yearly")

const time = (description: string) => Schema.NullOr(wireTime).annotate({ description })

const autoResume = Schema.Boolean.annotate({
  message: "must be true or false",
  description: "Goes on by itself when credits arrive after they ran out; false until chosen"
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

export const SyncStatus = Schema.Struct(status).annotate({ identifier: "SyncStatus" })

const success = { success: always(true) }

export const sync = HttpApiGroup.make("sync")
  .add(
    HttpApiEndpoint.get("status", "/status", { success: SyncStatus }).annotate(
      OpenApi.Summary,
      "Whether sync is on, and until when; off and monthly for a new user"
    )
  )
  .add(
    HttpApiEndpoint.post("activate", "/activate", {
      payload: input({
        interval: optional(interval.annotate({ description: "monthly if left out" })),
        autoResume: optional(autoResume),
        idempotencyKey: optional(idempotencyKey)
      }),
      headers: keyHeaders,
      success: Schema.Struct({
        ...success,
        active: Schema.Literal(true),
        interval,
        nextChargeAt: wireTime,
        amountCharged: credits("Credits taken just now; 0 inside a period paid before"),
        autoResume
      }),
      error: [InsufficientCredits, IdempotencyKeyReused, SyncAlreadyActive, SyncGifted]
    })
      .annotate(Idempotency, "key")
      .annotate(OpenApi.Summary, "Turn sync on, or on again after it paused")
      .annotate(
        OpenApi.Description,
        "The first period is charged at once; nothing inside a period paid before. The time paused is not charged."
      )
  )
  .add(
    HttpApiEndpoint.post("deactivate", "/deactivate", {
      success: Schema.Struct({
        ...success,
        active: Schema.Literal(false),
        paidUntil: time("What is paid for stays paid")
      }),
      error: [SyncNotActive, SyncGifted]
    }).annotate(OpenApi.Summary, "Turn sync off: no further charge")
  )
  .add(
    HttpApiEndpoint.post("changeInterval", "/change-interval", {
      payload: input({ interval, autoResume: optional(autoResume) }),
      success: Schema.Struct({
        ...success,
        interval,
        amountCharged: credits("Credits taken at effectiveAt and from then on, none before"),
        effectiveAt: time("The next charge; null while paused: when sync goes on"),
        autoResume
      }),
      error: [SyncNotActive, SyncGifted]
    })
      .annotate(Idempotency, "always")
      .annotate(OpenApi.Summary, "Another interval and its price, from the next charge on")
  )
  .middleware(JsonBody)
  .middleware(UserAuth)
  .prefix("/api/v1/sync")
  .annotate(OpenApi.Title, "Sync billing")
