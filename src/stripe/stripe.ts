/** Stripe, as far as we use it: one client, and its errors sorted by what a caller can do about them. */
import { Context, Data, Effect, Layer, Option, Redacted } from "effect"
import { Stripe } from "stripe"
import { AppSettings } from "../config.ts"

/** Nothing can be said for sure: it may or may not have done what it was asked. The same key asks again. */
export class StripeAway extends Data.TaggedError("StripeAway")<{
  readonly message: string
  /** It answered, with a fault of its own (5xx): that answer is what the key will get for a day. */
  readonly answered: boolean
}> {}

/** A fault of Stripe's may be this one thing's alone: it is logged, the others go on, and this one comes round again. */
export const passFault = (what: string, purchaseId: string) => (away: StripeAway) =>
  away.answered
    ? Effect.logWarning(what).pipe(Effect.annotateLogs({ purchaseId, reason: away.message }))
    : Effect.fail(away)

/** It understood and said no. */
export class StripeRefused extends Data.TaggedError("StripeRefused")<{
  readonly message: string
  /** `resource_missing`, `charge_already_refunded` …; empty where it names none. */
  readonly code: string
  /** The parameter it complains of, or empty. */
  readonly param: string
}> {}

export interface Account {
  /** Whether payments are real: what the key says. */
  readonly livemode: boolean
  /** Any of them signs webhooks; several while one takes the other's place. */
  readonly webhookSecrets: ReadonlyArray<Redacted.Redacted>
  /** One call of the library's. */
  readonly ask: <A>(call: (stripe: Stripe) => Promise<A>) => Effect.Effect<A, StripeAway | StripeRefused>
}

/** None where no key is set: payments don't work then, and everything else does. */
export class Payments extends Context.Service<Payments, Option.Option<Account>>()("mana/Payments") {}

const { StripeError, StripeAPIError, StripeConnectionError, StripeRateLimitError } = Stripe.errors

const sorted = (error: unknown): Effect.Effect<never, StripeAway | StripeRefused> => {
  if (!(error instanceof StripeError)) return Effect.die(error)
  const { message, code = "", param = "", statusCode = 0 } = error
  const answered = statusCode >= 500
  const isAway =
    answered ||
    error instanceof StripeConnectionError ||
    error instanceof StripeRateLimitError ||
    error instanceof StripeAPIError ||
    // Our own request before this one is still at work.
    code === "idempotency_key_in_use" ||
    code === "lock_timeout"
  return isAway
    ? Effect.fail(new StripeAway({ message, answered }))
    : Effect.fail(new StripeRefused({ message, code, param }))
}

const account = Effect.map(AppSettings, ({ stripe }) =>
  Option.map(stripe, ({ secretKey, webhookSecrets, connection }): Account => {
    const client = new Stripe(Redacted.value(secretKey), {
      // A person waits: three attempts are half a minute at most. Whoever asks again sends the same keys.
      timeout: 10_000,
      maxNetworkRetries: 2,
      telemetry: false,
      ...connection
    })
    return {
      livemode: /^[sr]k_live_/.test(Redacted.value(secretKey)),
      webhookSecrets,
      ask: (call) => Effect.tryPromise({ try: () => call(client), catch: (error) => error }).pipe(Effect.catch(sorted))
    }
  })
)

export const layer: Layer.Layer<Payments, never, AppSettings> = Layer.effect(Payments, account)
