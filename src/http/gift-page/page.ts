/** GET /g/<code>: the link that people send each other. */
import { Effect, Option, Schema } from "effect"
import { AppSettings } from "../../config.ts"
import { code } from "../../contract/gifts.ts"
import { htmlAnswer } from "../answer.ts"
import { lookUp, noSuchGift, pageUrl } from "../gifts.ts"
import type { OurRequest } from "../our-request.ts"
import type { Address } from "../route.ts"
import { languageOf } from "./language.ts"
import { contentSecurityPolicy, giftPage, messagePage } from "./view.ts"
import { wordsIn, type Words } from "./words.ts"

const isCode = Schema.is(code)

const respond = (words: Words, status: number, markup: string, headers: Readonly<Record<string, string>> = {}) =>
  htmlAnswer(status, markup, {
    "content-language": words.language,
    "content-security-policy": contentSecurityPolicy,
    // The address is worth credits: no other site is to learn it from us.
    "referrer-policy": "no-referrer",
    "x-robots-tag": "noindex",
    vary: "accept-language",
    ...headers
  })

const page = Effect.fnUntraced(function* (request: OurRequest, { params: { code: asked = "" } }: Address) {
  const words = wordsIn(languageOf(request.headers["accept-language"]))
  const { appUrl } = yield* AppSettings
  const unknown = Effect.sync(() => respond(words, 404, messagePage(words, words.unknown)))
  return yield* (isCode(asked) ? lookUp(request, asked) : noSuchGift).pipe(
    Effect.flatMap((gift) =>
      Effect.map(pageUrl(gift.code), (url) => {
        const redeemUrl = Option.getOrUndefined(Option.map(appUrl, (app) => `${app}/gifts/redeem/${gift.code}`))
        return respond(words, 200, giftPage(words, { gift, url, redeemUrl }))
      })
    ),
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

export const giftPages = [{ method: "GET" as const, path: "/g/:code" as const, answer: page }]
