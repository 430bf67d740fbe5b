/** Internal gifts: what the auth service asks for somebody who has just registered. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import { Schema } from "effect"
import { ServiceAuth } from "./auth.ts"
import { credits, input, text, userId } from "./fields.ts"
import { serviceHeaders } from "./headers.ts"
import { needs } from "./scopes.ts"

const count = Schema.Number.annotations({ jsonSchema: { type: "integer" } })

export const PendingRedeemed = Schema.Struct({
  redeemed: count.annotations({ description: "Gifts really redeemed" }),
  totalCredits: credits(),
  failed: count.annotations({ description: "Gifts that stay open, since something went wrong with them" }),
  more: Schema.Boolean.annotations({ description: "Whether there are gifts left: 100 are redeemed at a time" })
})

export const internalGifts = HttpApiGroup.make("internalGifts")
  .add(
    HttpApiEndpoint.post("redeemPending", "/redeem-pending")
      .setPayload(input({ userId, email: text(254, "Verified: every open gift for it is paid to the user") }))
      .setHeaders(Schema.Struct(serviceHeaders))
      .addSuccess(PendingRedeemed)
      .annotateContext(needs("gifts"))
      .annotate(OpenApi.Summary, "Redeem all gifts that wait for an e-mail address")
  )
  .middleware(ServiceAuth)
  .prefix("/api/v1/internal/gifts")
  .annotate(OpenApi.Title, "Internal gifts")
