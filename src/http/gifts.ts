/** Gift codes: for the person whom the token names, and a look for anybody. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { Effect, Schema } from "effect"
import { AppSettings } from "../config.ts"
import { Api } from "../contract/api.ts"
import { CurrentUser } from "../contract/auth.ts"
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
import { gift, LookedUpGift, ReceivedGift, redemption } from "../contract/gifts.ts"
import { spendable } from "../contract/ledger.ts"
import { makeProblem } from "../contract/problem.ts"
import { ask, replayed, withoutMark } from "./ask.ts"
import { clientAddress } from "./client-address.ts"
import { keyOf } from "./idempotency.ts"
import { counter, orWait, RequestRates } from "./limits.ts"
import { noteNextPage } from "./paging.ts"

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
export const lookUp = (code: string) =>
  Effect.gen(function* () {
    const client = yield* clientAddress
    const answer = yield* ask("gifts.look_up", LookUpAnswer, { code, client }, { refusals: [TooManyRequests] })
    return answer.found ? answer.gift : yield* noSuchGift
  })

export const gifts = HttpApiBuilder.group(Api, "gifts", (handlers) =>
  Effect.map(RequestRates, (rates) => {
    const { count } = counter(rates.gifts)
    return handlers
      .handle(
        "create",
        ({ payload, headers }) =>
          Effect.gen(function* () {
            const { userId, name } = yield* CurrentUser
            yield* orWait(count(userId))
            const idempotencyKey = yield* keyOf(payload, headers)
            const answer = yield* ask(
              "gifts.create",
              CreateAnswer,
              { ...payload, userId, creatorName: name, idempotencyKey, caller: "user" },
              { refusals: [InsufficientCredits, IdempotencyKeyReused], keyed: idempotencyKey !== undefined }
            )
            return yield* withUrl(yield* withoutMark(answer))
          }),
        { uninterruptible: true }
      )
      .handle("created", ({ urlParams }) =>
        Effect.gen(function* () {
          const { userId } = yield* CurrentUser
          const page = yield* ask("gifts.created_by", CreatedAnswer, { ...urlParams, userId })
          yield* noteNextPage(page.next)
          return yield* Effect.forEach(page.gifts, withUrl)
        })
      )
      .handle("received", ({ urlParams }) =>
        Effect.gen(function* () {
          const { userId } = yield* CurrentUser
          const page = yield* ask(
            "gifts.received_by",
            ReceivedAnswer,
            { ...urlParams, userId },
            { refusals: [GiftNotFound] }
          )
          yield* noteNextPage(page.next)
          return page.gifts
        })
      )
      .handle("lookUp", ({ path }) => lookUp(path.code))
      .handle(
        "redeem",
        ({ path, payload, headers }) =>
          Effect.gen(function* () {
            const { userId, email, emailVerified } = yield* CurrentUser
            const idempotencyKey = yield* keyOf(payload, headers)
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
            const { found: _, ...redeemed } = yield* withoutMark(answer)
            return { success: true as const, ...redeemed }
          }),
        { uninterruptible: true }
      )
      .handle(
        "cancel",
        ({ path }) =>
          Effect.gen(function* () {
            const { userId } = yield* CurrentUser
            const answer = yield* ask(
              "gifts.cancel",
              CancelAnswer,
              { userId, giftId: path.id, caller: "user" },
              { refusals: [GiftNotFound, GiftNotActive, GiftExpired] }
            )
            return { success: true as const, ...answer }
          }),
        { uninterruptible: true }
      )
  })
)
