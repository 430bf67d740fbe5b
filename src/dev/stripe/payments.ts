/** What payers and their banks do. Each takes the id of a PaymentIntent or of a Checkout Session, as one has it. */
import type { Stripe } from "stripe"
import type { Method } from "./charges.ts"
import { checkOpen, expireSession, follow, intentOf, sessionOf } from "./checkout-sessions.ts"
import { unexpectedState } from "./errors.ts"
import {
  beginDebit,
  cancelPaymentIntent,
  checkMethod,
  checkPayable,
  decideDebit,
  decline,
  payByCard
} from "./payment-intents.ts"
import { found, idOf, type World } from "./world.ts"

const paymentOf = (world: World, id: string, method: Method) => {
  const { sessions, paymentIntents } = world.state
  const session = id.startsWith("cs_") ? found(sessions, "checkout.session", id, "session") : sessionOf(world, id)
  if (session !== undefined) {
    checkOpen(session)
    checkMethod(session.payment_method_types, method)
  }
  const intent =
    session === undefined ? found(paymentIntents, "payment_intent", id, "intent") : intentOf(world, session)
  checkPayable(intent)
  checkMethod(intent.payment_method_types, method)
  return { intent, session }
}

/** The payer pays: a card at once, a direct debit when the bank has decided; `bounces` decides that beforehand. */
export const pay = (world: World, id: string, method: Method, bounces = false): Stripe.PaymentIntent => {
  const { intent, session } = paymentOf(world, id, method)
  const complete = () => {
    if (session !== undefined) follow(world, session, intent)
  }
  if (method === "card") {
    payByCard(world, intent, complete)
  } else {
    beginDebit(world, intent)
    complete()
    if (world.debitDecidedAfter !== undefined) {
      const at = world.now() + world.debitDecidedAfter
      world.state.decisions[intent.id] = { at, outcome: bounces ? "failed" : "succeeded" }
    }
  }
  return intent
}

/** The payer tries and is turned down; another attempt is welcome. */
export const refuse = (world: World, id: string, method: Method): Stripe.PaymentIntent => {
  const { intent } = paymentOf(world, id, method)
  decline(world, intent, method)
  return intent
}

/** The bank decides on a direct debit. */
export const decide = (world: World, id: string, outcome: "succeeded" | "failed"): Stripe.PaymentIntent => {
  const { sessions, paymentIntents } = world.state
  const session = id.startsWith("cs_") ? found(sessions, "checkout.session", id, "session") : sessionOf(world, id)
  const intent = found(paymentIntents, "payment_intent", idOf(session?.payment_intent ?? id) ?? id, "intent")
  decideDebit(world, intent, outcome)
  if (session !== undefined) follow(world, session, intent)
  return intent
}

/** Through the API, or by hand in Stripe's dashboard. */
export const cancel = (
  world: World,
  id: string,
  reason: Stripe.PaymentIntent.CancellationReason | undefined
): Stripe.PaymentIntent => {
  const intent = found(world.state.paymentIntents, "payment_intent", id, "intent")
  if (sessionOf(world, id) !== undefined) {
    throw unexpectedState(
      "You cannot cancel this PaymentIntent because it belongs to a Checkout Session. Expire the Checkout Session instead."
    )
  }
  return cancelPaymentIntent(world, intent, reason)
}

/** What time brings: banks decide, sessions expire. */
export const letTimePass = (world: World) => {
  const now = world.now()
  for (const [id, { at, outcome }] of Object.entries(world.state.decisions)) {
    if (at <= now) decide(world, id, outcome)
  }
  for (const session of Object.values(world.state.sessions)) {
    if (session.status === "open" && session.expires_at <= now) expireSession(world, session)
  }
}
