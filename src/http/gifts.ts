/** Gift codes: for the person whom the token names, and a look for anybody. */
import { Effect, Schema } from "effect"
import { AppSettings } from "../config.ts"
import {
  GiftExpired,
  GiftNotActive,
  GiftNotFound,
  GiftWrongRecipient,
  IdempotencyKeyReused,
  InsufficientCredits,
  TooManyRequests
} from "../contract/errors.ts"
import { credits, uuid } from "../contract/fields.ts"
import { gift, gifts as contract, LookedUpGift, ReceivedGift, redemption } from "../contract/gifts.ts"
import { spendable } from "../contract/ledger.ts"
import { makeProblem } from "../contract/problem.ts"
import { ask, replayed, withoutMark } from "./ask.ts"
import { clientAddress } from "./client-address.ts"
import { keyOf } from "./idempotency.ts"
import { counter, orWait, RequestRates } from "./limits.ts"
import type { OurRequest } from "./our-request.ts"
import { noteNextPage } from "./paging.ts"
import { anybody, user } from "./callers.ts"
import { endpointsOf, route } from "./route.ts"

const GiftRow = Schema.Struct(gift)
const NotFound = Schema.Struct({ found: Schema.Literal(false) })
const CreateAnswer = Schema.Struct({ ...gift, newBalance: spendable, ...replayed })
const CreatedAnswer = Schema.Struct({ gifts: Schema.Array(GiftRow), next: Schema.NullOr(uuid) })
const ReceivedAnswer = Schema.Struct({ gifts: Schema.Array(ReceivedGift), next: Schema.NullOr(uuid) })
const LookUpAnswer = Schema.Union(Schema.Struct({ found: Schema.Literal(true), gift: LookedUpGift }), NotFound)
const RedeemAnswer = Schema.Union(Schema.Struct({ found: Schema.Literal(true), ...redemption, ...replayed }), NotFound)
const CancelAnswer = Schema.Struct({ refundedCredits: credits(), newBalance: spendable })

export const noSuchGift = Effect.suspend(() =>
  Effect.fail(makeProblem(GiftNotFound, "There is no such code. Type it as it was sent: twelve characters."))
)

/** The address of a gift's page. */
export const pageUrl = (code: string) => Effect.map(AppSettings, ({ baseUrl }) => `${baseUrl}/g/${code}`)

const withUrl = <A extends { readonly code: string }>(answer: A) =>
  Effect.map(pageUrl(answer.code), (url) => ({ ...answer, url }))

/** A gift by its code; a miss counts against whoever sent the request. */
export const lookUp = (request: OurRequest, code: string) =>
  Effect.gen(function* () {
    const client = yield* clientAddress(request)
    const answer = yield* ask("gifts.look_up", LookUpAnswer, { code, client }, { refusals: [TooManyRequests] })
    return answer.found ? answer.gift : yield* noSuchGift
  })

const to = endpointsOf(contract)

export const gifts = Effect.map(RequestRates, (rates) => {
  const { count } = counter(rates.gifts)
  return [
    route(to("create"), user, ({ payload, headers, caller: { userId, name }, request }) =>
      Effect.gen(function* () {
        yield* orWait(count(userId))
        const idempotencyKey = yield* keyOf(request, payload, headers)
        const answer = yield* ask(
          "gifts.create",
          CreateAnswer,
          { ...payload, userId, creatorName: name, idempotencyKey, caller: "user" },
          { refusals: [InsufficientCredits, IdempotencyKeyReused], keyed: idempotencyKey !== undefined }
        )
        return yield* withUrl(withoutMark(request, answer))
      })
    ),
    route(to("created"), user, ({ urlParams, caller: { userId }, request }) =>
      Effect.gen(function* () {
        const page = yield* ask("gifts.created_by", CreatedAnswer, { ...urlParams, userId })
        yield* noteNextPage(request, page.next)
        return yield* Effect.forEach(page.gifts, withUrl)
      })
    ),
    route(to("received"), user, ({ urlParams, caller: { userId }, request }) =>
      Effect.gen(function* () {
        const page = yield* ask(
          "gifts.received_by",
          ReceivedAnswer,
          { ...urlParams, userId },
          { refusals: [GiftNotFound] }
        )
        yield* noteNextPage(request, page.next)
        return page.gifts
      })
    ),
    route(to("lookUp"), anybody, ({ path, request }) => lookUp(request, path.code)),
    route(to("redeem"), user, ({ path, payload, headers, caller: { userId, email, emailVerified }, request }) =>
      Effect.gen(function* () {
        const idempotencyKey = yield* keyOf(request, payload, headers)
        const answer = yield* ask(
          "gifts.redeem",
          RedeemAnswer,
          { ...payload, userId, code: path.code, email, emailVerified, idempotencyKey, caller: "user" },
          {
            refusals: [GiftNotActive, GiftExpired, GiftWrongRecipient, IdempotencyKeyReused, TooManyRequests],
            keyed: idempotencyKey !== undefined
          }
        )
        if (!answer.found) return yield* noSuchGift
        const { found: _, ...redeemed } = withoutMark(request, answer)
        return { success: true as const, ...redeemed }
      })
    ),
    route(to("cancel"), user, ({ path, caller: { userId } }) =>
      Effect.gen(function* () {
        const answer = yield* ask(
          "gifts.cancel",
          CancelAnswer,
          { userId, giftId: path.id, caller: "user" },
          { refusals: [GiftNotFound, GiftNotActive, GiftExpired] }
        )
        return { success: true as const, ...answer }
      })
    )
  ]
})
