/** The pages a payer's browser visits: a Checkout Session's `url`, and one for a bare PaymentIntent. */
import type { Stripe } from "stripe"
import type { Method } from "./charges.ts"
import { endPage, languageOf, payPage } from "./checkout-page.ts"
import { intentOf } from "./checkout-sessions.ts"
import { StripeApiError } from "./errors.ts"
import { decodeForm } from "./form.ts"
import { pay, refuse } from "./payments.ts"
import type { World } from "./world.ts"

export interface PageRequest {
  readonly method: "GET" | "POST"
  readonly path: string
  readonly query: string
  readonly body: string
  readonly acceptLanguage: string | undefined
}

export interface PageReply {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

const page = (status: number, body: string): PageReply => ({
  status,
  headers: {
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'"
  },
  body
})

const redirect = (location: string): PageReply => ({ status: 303, headers: { location }, body: "" })

/** What the payer chose on the page. */
const chosen = (body: string): { readonly action: string; readonly method: Method; readonly bounces: boolean } => {
  const { action, method } = decodeForm(body)
  return {
    action: typeof action === "string" ? action : "",
    method: method === "sepa_debit" || method === "sepa_debit_fails" ? "sepa_debit" : "card",
    bounces: method === "sepa_debit_fails"
  }
}

/** Pays or is turned down; what the state doesn't allow any more (a second click) shows as the page's new state. */
const attempt = (world: World, id: string, request: PageRequest): PageReply => {
  const { action, method, bounces } = chosen(request.body)
  try {
    if (action === "decline") {
      refuse(world, id, method)
      return redirect(`${request.path}?declined=${method}`)
    }
    if (action === "pay") pay(world, id, method, bounces)
  } catch (error) {
    if (!(error instanceof StripeApiError)) throw error
  }
  return redirect(request.path)
}

const declinedIn = (query: string) => new URLSearchParams(query).get("declined") ?? undefined

const successUrl = (session: Stripe.Checkout.Session) =>
  (session.success_url ?? "").replaceAll("{CHECKOUT_SESSION_ID}", session.id)

const outcomeOf = (world: World, session: Stripe.Checkout.Session) => {
  if (session.payment_status === "paid") return "paid"
  return intentOf(world, session).status === "processing" ? "processing" : "failed"
}

const sessionPage = (world: World, session: Stripe.Checkout.Session, request: PageRequest): PageReply => {
  const language = languageOf(request.acceptLanguage, session.locale)
  if (request.method === "POST" && session.status === "open") {
    if (chosen(request.body).action === "cancel") return redirect(session.cancel_url ?? request.path)
    const reply = attempt(world, session.id, request)
    // Paid, or with the bank: the payer goes back to the app.
    return world.state.sessions[session.id]?.status === "complete" ? redirect(successUrl(session)) : reply
  }
  if (session.status === "complete") return page(200, endPage(language, outcomeOf(world, session), successUrl(session)))
  if (session.status === "expired") return page(200, endPage(language, "expired", session.cancel_url ?? undefined))
  return page(
    200,
    payPage(language, {
      amount: session.amount_total ?? 0,
      currency: session.currency ?? "eur",
      items: world.state.lineItems[session.id] ?? [],
      methods: session.payment_method_types,
      canCancel: session.cancel_url !== null,
      canBounce: world.debitDecidedAfter !== undefined,
      declined: declinedIn(request.query)
    })
  )
}

const intentPage = (world: World, intent: Stripe.PaymentIntent, request: PageRequest): PageReply => {
  const language = languageOf(request.acceptLanguage)
  if (request.method === "POST") return attempt(world, intent.id, request)
  if (intent.status === "succeeded") return page(200, endPage(language, "paid", undefined))
  if (intent.status === "processing") return page(200, endPage(language, "processing", undefined))
  if (intent.status === "canceled") return page(200, endPage(language, "canceled", undefined))
  return page(
    200,
    payPage(language, {
      amount: intent.amount,
      currency: intent.currency,
      items: [{ description: intent.description ?? intent.id, quantity: 1, amount_total: intent.amount }],
      methods: intent.payment_method_types,
      canCancel: false,
      canBounce: world.debitDecidedAfter !== undefined,
      declined: declinedIn(request.query)
    })
  )
}

/** The page at a path, if there is a page there. */
export const visit = (world: World, request: PageRequest): PageReply | undefined => {
  const [, id = ""] = /^\/c\/pay\/(\w+)$/.exec(request.path) ?? []
  const [, secret = ""] = /^\/pay\/(\w+)$/.exec(request.path) ?? []
  if (id === "" && secret === "") return undefined
  const session = world.state.sessions[id]
  if (session !== undefined) return sessionPage(world, session, request)
  const intent = Object.values(world.state.paymentIntents).find((it) => it.client_secret === secret)
  if (intent !== undefined) return intentPage(world, intent, request)
  return page(404, endPage(languageOf(request.acceptLanguage), "unknown", undefined))
}
