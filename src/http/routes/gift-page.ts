/** GET /g/<code>: the link that people send each other. */
import { Effect, Option, Schema } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { AppSettings } from "../../config.ts"
import { Api } from "../../contract/api.ts"
import { code } from "../../contract/gifts.ts"
import { languageOf } from "../../pages/gift/language.ts"
import { contentSecurityPolicy, giftPage as giftMarkup, messagePage } from "../../pages/gift/view.ts"
import { wordsIn, type Words } from "../../pages/gift/words.ts"
import { lookUp, noSuchGift, pageUrl } from "./gift-look-up.ts"
import { page } from "./page.ts"

const isCode = Schema.is(code)

const { lookUp: endpoint } = Api.groups.gifts.endpoints

const respond = (words: Words, status: number, markup: string, headers: Readonly<Record<string, string>> = {}) =>
  HttpServerResponse.text(markup, {
    status,
    contentType: "text/html; charset=utf-8",
    headers: {
      "content-language": words.language,
      "content-security-policy": contentSecurityPolicy,
      // The address is worth credits: no other site is to learn it from us.
      "referrer-policy": "no-referrer",
      "x-robots-tag": "noindex",
      vary: "accept-language",
      ...headers
    }
  })

export const giftPage = page(
  "/g/:code",
  Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const { code: asked = "" } = yield* HttpRouter.params
    const words = wordsIn(languageOf(request.headers["accept-language"]))
    const settings = yield* AppSettings
    const unknown = Effect.sync(() => respond(words, 404, messagePage(words, words.unknown)))
    return yield* (isCode(asked) ? lookUp({ endpoint, request }, asked) : Effect.fail(noSuchGift)).pipe(
      Effect.map((gift) => {
        const redeemUrl = Option.getOrUndefined(
          Option.map(settings.appUrl, (app) => `${app}/gifts/redeem/${gift.code}`)
        )
        return respond(words, 200, giftMarkup(words, { gift, url: pageUrl(settings, gift.code), redeemUrl }))
      }),
      Effect.catchTags({
        invalid_request: () => unknown,
        gift_not_found: () => unknown,
        too_many_requests: ({ retryAfterSeconds }) =>
          Effect.succeed(
            respond(words, 429, messagePage(words, words.throttled(retryAfterSeconds)), {
              "retry-after": `${retryAfterSeconds}`
            })
          ),
        unavailable: ({ retryAfterSeconds }) =>
          Effect.succeed(
            respond(words, 503, messagePage(words, words.unavailable), { "retry-after": `${retryAfterSeconds}` })
          )
      })
    )
  })
)
