/** Internal gifts: what the auth service asks for somebody who has just registered. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { ServiceAuth } from "./auth.ts"
import { JsonBody } from "./body.ts"
import { count, credits, input, text, userId } from "./fields.ts"
import { serviceHeaders } from "./headers.ts"
import { needs } from "./scopes.ts"

export const internalGifts = HttpApiGroup.make("internalGifts")
  .add(
    // Not repeated after a lost connection: the second answer would say that there was nothing to redeem.
    HttpApiEndpoint.post("redeemPending", "/redeem-pending", {
      payload: input({ userId, email: text(254, "Verified: every open gift for it is paid to the user") }),
      headers: serviceHeaders,
      success: Schema.Struct({
        redeemed: count("Gifts really redeemed"),
        totalCredits: credits(),
        failed: count("Gifts that stay open, since something went wrong with them"),
        more: Schema.Boolean.annotate({ description: "Whether there are gifts left: 100 are redeemed at a time" })
      })
    })
      .annotateMerge(needs("gifts"))
      .annotate(OpenApi.Summary, "Redeem all gifts that wait for an e-mail address")
  )
  .middleware(JsonBody)
  .middleware(ServiceAuth)
  .prefix("/api/v1/internal/gifts")
  .annotate(OpenApi.Title, "Internal gifts")
