/** Buying credits: a purchase in the books, then a payment in Stripe, never both in one transaction. */
import { Effect, Schema } from "effect"
import { AppSettings } from "../config.ts"
import {
  IdempotencyKeyReused,
  PackageInactive,
  PackageNotFound,
  PurchaseClosed,
  PurchaseNotFound,
  TooManyRequests
} from "../contract/errors.ts"
import { Package, Purchase, purchases as contract } from "../contract/purchases.ts"
import { Order } from "../stripe/order.ts"
import { payable } from "../stripe/payment.ts"
import { ask, replayed, withoutMark } from "./ask.ts"
import { keyOf } from "./idempotency.ts"
import { invalid, type Issue } from "./invalid.ts"
import { account, orProblem } from "./payments.ts"
import { anybody, user } from "./callers.ts"
import { endpointsOf, route } from "./route.ts"

const BeginAnswer = Schema.Struct({ ...Order.fields, ...replayed })

interface ReturnUrls {
  readonly successUrl?: string | undefined
  readonly cancelUrl?: string | undefined
}

/** What is wrong with an address to return to, if anything. */
const returnFault = (path: string, value: string | undefined, origins: ReadonlyArray<string>): ReadonlyArray<Issue> => {
  if (value === undefined) return []
  const url = URL.parse(value)
  const isWeb = url !== null && ["http:", "https:"].includes(url.protocol)
  return isWeb && (origins.includes("*") || origins.includes(url.origin))
    ? []
    : [{ path, message: "must be an address of an app that may call us (CORS_ORIGINS)" }]
}

const checkReturn = ({ successUrl, cancelUrl }: ReturnUrls) =>
  Effect.flatMap(AppSettings, ({ corsOrigins }) => {
    const issues = [
      ...returnFault("successUrl", successUrl, corsOrigins),
      ...returnFault("cancelUrl", cancelUrl, corsOrigins)
    ]
    return issues.length === 0 ? Effect.void : Effect.fail(invalid(...issues))
  })

const to = endpointsOf(contract)

export const purchases = [
  route(to("packages"), anybody, () => ask("credits.packages", Schema.Array(Package), {})),
  route(to("purchase"), user, ({ payload, headers, caller, request }) =>
    Effect.gen(function* () {
      const stripe = yield* account
      const idempotencyKey = yield* keyOf(request, payload, headers)
      yield* checkReturn(payload)
      const begun = yield* ask(
        "stripe.begin_purchase",
        BeginAnswer,
        {
          ...payload,
          userId: caller.userId,
          livemode: stripe.livemode,
          // For receipts, so only an address that is theirs.
          email: caller.emailVerified ? caller.email : undefined,
          idempotencyKey,
          caller: "user"
        },
        {
          refusals: [PackageNotFound, PackageInactive, PurchaseClosed, IdempotencyKeyReused, TooManyRequests],
          keyed: idempotencyKey !== undefined
        }
      )
      const paying = yield* payable(stripe, begun).pipe(orProblem)
      const { purchaseId, priceEuroCents, credits } = withoutMark(request, begun)
      return { purchaseId, amount: priceEuroCents, credits, ...paying }
    })
  ),
  route(to("purchases"), user, ({ caller: { userId } }) =>
    ask("credits.purchases", Schema.Array(Purchase), { userId })
  ),
  route(to("purchaseById"), user, ({ path, caller: { userId } }) =>
    ask("credits.purchase", Purchase, { userId, purchaseId: path.id }, { refusals: [PurchaseNotFound] })
  )
]
