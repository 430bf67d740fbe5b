/** Buying credits: a purchase in the books, then a payment in Stripe, never both in one transaction. */
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { AppSettings } from "../../config.ts"
import { Api } from "../../contract/api.ts"
import type { Order } from "../../stripe/order.ts"
import { startPayment } from "../../stripe/payment.ts"
import { invalid, type Issue } from "../middleware/invalid.ts"
import { ask, askFor, forUser } from "./ask.ts"
import { account, orProblem } from "./payments.ts"

interface ReturnUrls {
  readonly successUrl?: string
  readonly cancelUrl?: string
}

/** The fault of a return address, if it has one. */
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

export const purchases = HttpApiBuilder.group(Api, "purchases", (handlers) =>
  handlers.handleAll({
    packages: (asked) => ask(asked, "credits.packages", {}),
    purchase: forUser(
      Effect.fnUntraced(function* (asked, user) {
        const stripe = yield* account
        yield* checkReturn(asked.payload)
        const order = yield* askFor<Order, typeof asked.endpoint>(asked, "stripe.begin_purchase", {
          ...asked.payload,
          userId: user.userId,
          livemode: stripe.livemode,
          // For receipts, so only an address that is theirs.
          email: user.emailVerified === true ? user.email : undefined,
          caller: "user"
        })
        const paying = yield* startPayment(stripe, order).pipe(orProblem)
        return { purchaseId: order.purchaseId, amount: order.priceEuroCents, credits: order.credits, ...paying }
      })
    ),
    purchases: forUser((asked, { userId }) => ask(asked, "credits.purchases", { userId })),
    purchaseById: forUser((asked, { userId }) =>
      ask(asked, "credits.purchase", { userId, purchaseId: asked.params.id })
    )
  })
)
