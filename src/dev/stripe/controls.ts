/** What the simulator can be told to do: as the payer, as the bank, as the network. None of it is Stripe's API. */
import { Effect } from "effect"
import type { Stripe } from "stripe"
import type { Method } from "./charges.ts"
import { expireSession } from "./checkout-sessions.ts"
import { closeDispute, type DisputeOptions, openDispute } from "./disputes.ts"
import { step, type StripeApiError } from "./errors.ts"
import type { CallMatch, FaultKind, Faults, RandomFaults, Struck } from "./faults.ts"
import { cancel, decide, pay, refuse } from "./payments.ts"
import { decideRefund } from "./refunds.ts"
import type { Webhooks } from "./webhooks.ts"
import { found, type SimulatedEvent, type World } from "./world.ts"

type Told<A> = Effect.Effect<A, StripeApiError>

export interface PayOptions {
  /** `card` unless said otherwise. */
  readonly method?: Method
  /** A direct debit that the bank will send back, where it decides by itself (`debitDecidedAfter`). */
  readonly bounces?: boolean
}

export interface FaultControls {
  /** The next call that matches meets this; or the next `times`. */
  readonly next: (kind: FaultKind, match?: CallMatch & { readonly times?: number }) => Effect.Effect<void>
  readonly randomly: (faults: RandomFaults) => Effect.Effect<void>
  /** No more faults, and none struck so far. */
  readonly clear: Effect.Effect<void>
  /** Which calls met what, since the last `clear`. */
  readonly struck: Effect.Effect<ReadonlyArray<Struck>>
  /** Lets calls that met `stall` go on. */
  readonly release: Effect.Effect<void>
  /** How many calls are stalled now. */
  readonly stalled: Effect.Effect<number>
}

/** Where an `id` is asked for, a PaymentIntent's, its client secret, or its Checkout Session's will do. */
export interface Controls {
  /** By card: succeeded at once. By direct debit: processing, until `decideDebit`. */
  readonly pay: (id: string, options?: PayOptions) => Told<Stripe.PaymentIntent>
  readonly decline: (id: string, method?: Method) => Told<Stripe.PaymentIntent>
  readonly decideDebit: (id: string, outcome: "succeeded" | "failed") => Told<Stripe.PaymentIntent>
  readonly cancel: (id: string, reason?: Stripe.PaymentIntent.CancellationReason) => Told<Stripe.PaymentIntent>
  readonly expire: (sessionId: string) => Told<Stripe.Checkout.Session>
  /** Of a charge or a PaymentIntent. About a direct debit: lost at once. */
  readonly openDispute: (id: string, options?: DisputeOptions) => Told<Stripe.Dispute>
  readonly closeDispute: (disputeId: string, outcome: "won" | "lost") => Told<Stripe.Dispute>
  /** A direct debit's refund is pending until this; a card's may still fail. */
  readonly decideRefund: (refundId: string, outcome: "succeeded" | "failed") => Told<Stripe.Refund>
  /** All there are, oldest first: to count them. */
  readonly paymentIntents: Effect.Effect<ReadonlyArray<Stripe.PaymentIntent>>
  readonly events: Effect.Effect<ReadonlyArray<SimulatedEvent>>
  readonly webhooks: Webhooks
  readonly faults: FaultControls
}

const withoutSecret = (id: string) => id.replace(/_secret_.*$/, "")

export const makeControls = (world: World, webhooks: Webhooks, faults: Faults): Controls => {
  // A copy: what was told stays as it was, whatever happens to the object afterwards.
  const told = <A>(f: () => A): Told<A> => step(() => structuredClone(f()))
  const { state } = world
  return {
    pay: (id, { method = "card", bounces = false } = {}) => told(() => pay(world, withoutSecret(id), method, bounces)),
    decline: (id, method = "card") => told(() => refuse(world, withoutSecret(id), method)),
    decideDebit: (id, outcome) => told(() => decide(world, withoutSecret(id), outcome)),
    cancel: (id, reason) => told(() => cancel(world, withoutSecret(id), reason)),
    expire: (id) => told(() => expireSession(world, found(state.sessions, "checkout.session", id, "session"))),
    openDispute: (id, options) => told(() => openDispute(world, withoutSecret(id), options)),
    closeDispute: (id, outcome) => told(() => closeDispute(world, id, outcome)),
    decideRefund: (id, outcome) => told(() => decideRefund(world, id, outcome)),
    paymentIntents: Effect.sync(() => structuredClone(Object.values(state.paymentIntents))),
    events: Effect.sync(() => structuredClone(Object.values(state.events))),
    webhooks,
    faults: {
      next: (kind, { times = 1, ...match } = {}) => Effect.sync(() => faults.plan(kind, match, times)),
      randomly: (random) => Effect.sync(() => faults.randomly(random)),
      clear: Effect.sync(() => faults.clear()),
      struck: Effect.sync(() => faults.struck()),
      release: Effect.sync(() => faults.release()),
      stalled: Effect.sync(() => faults.stalled())
    }
  }
}
