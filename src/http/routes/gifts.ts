/** Gift codes: of the person whom the token names, and a look for anybody. */
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { AppSettings } from "../../config.ts"
import { Api } from "../../contract/api.ts"
import type { Gift } from "../../contract/gifts.ts"
import { RateLimits } from "../middleware/rate-limits.ts"
import { type Answer, ask, askFor, forUser } from "./ask.ts"
import { type Found, lookUp, noSuchGift, pageUrl } from "./gift-look-up.ts"
import { askForPage } from "./paging.ts"

export const gifts = HttpApiBuilder.group(
  Api,
  "gifts",
  Effect.fnUntraced(function* (handlers) {
    const settings = yield* AppSettings
    const limits = yield* RateLimits
    const withUrl = <A extends { readonly code: string }>(gift: A) => ({ ...gift, url: pageUrl(settings, gift.code) })
    return handlers.handleAll({
      create: forUser((asked, { userId, name }) => {
        type Created = Omit<Answer<typeof asked.endpoint>, "url">
        const args = { ...asked.payload, userId, creatorName: name, caller: "user" }
        return limits
          .gifts(userId)
          .pipe(
            Effect.andThen(askFor<Created, typeof asked.endpoint>(asked, "gifts.create", args)),
            Effect.map(withUrl)
          )
      }),
      created: forUser((asked, { userId }) =>
        Effect.map(
          askForPage(asked, "gifts.created_by", { ...asked.query, userId }, "gifts"),
          (page: ReadonlyArray<Omit<Gift, "url">>) => page.map(withUrl)
        )
      ),
      received: forUser((asked, { userId }) =>
        askForPage(asked, "gifts.received_by", { ...asked.query, userId }, "gifts")
      ),
      lookUp: (asked) => lookUp(asked, asked.params.code),
      redeem: forUser((asked, { userId, email, emailVerified }) =>
        Effect.flatMap(
          askFor<Found<Answer<typeof asked.endpoint>>, typeof asked.endpoint>(asked, "gifts.redeem", {
            ...asked.payload,
            code: asked.params.code,
            userId,
            email,
            emailVerified,
            caller: "user"
          }),
          (answer) => (answer.found ? Effect.succeed(answer) : Effect.fail(noSuchGift))
        )
      ),
      cancel: forUser((asked, { userId }) =>
        ask(asked, "gifts.cancel", { userId, giftId: asked.params.id, caller: "user" })
      )
    })
  })
)
