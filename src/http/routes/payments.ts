/** Stripe's account where there is one, and its failures as problems. */
import { Effect, Option } from "effect"
import { PaymentsNotConfigured, ServiceUnavailable } from "../../contract/problems.ts"
import type { Refused, Unavailable } from "../../database/errors.ts"
import { Payments, type StripeAway, type StripeRefused } from "../../stripe/stripe.ts"
import { noteAway } from "../middleware/database-away.ts"

/** The account, or 503. */
export const account = Effect.flatMap(
  Payments,
  Option.match({
    onNone: () =>
      Effect.fail(
        new PaymentsNotConfigured({ detail: "Credits can't be bought here: no payment provider is set up." })
      ),
    onSome: Effect.succeed
  })
)

const tryAgain = (detail: string, retryAfterSeconds: number) =>
  Effect.fail(new ServiceUnavailable({ detail, retryAfterSeconds }))

/** Dies of errors that the client can do nothing about: they are our mistake, or our account's. */
export const orProblem = <A, R>(effect: Effect.Effect<A, StripeAway | StripeRefused | Refused | Unavailable, R>) =>
  Effect.catchTags(effect, {
    StripeAway: ({ message }) =>
      Effect.andThen(
        Effect.logWarning("Stripe can't be reached").pipe(Effect.annotateLogs({ reason: message })),
        tryAgain("The payment provider doesn't answer just now. Try again with the same idempotency key.", 5)
      ),
    StripeRefused: (refused) => Effect.die(refused),
    Refused: (refused) => Effect.die(refused),
    Unavailable: (unavailable) =>
      Effect.andThen(
        noteAway(unavailable),
        tryAgain("The database can't be reached just now. Try again in a moment.", 1)
      )
  })
