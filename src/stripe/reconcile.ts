/** Brings the books and Stripe together, whatever was lost in between. */
import { Effect, Option } from "effect"
import { Unavailable } from "../database/errors.ts"
import { askedRefunds } from "./asked-refunds.ts"
import { missedEvents } from "./missed-events.ts"
import { pendingPurchases } from "./pending-purchases.ts"
import { type Account, Payments } from "./stripe.ts"

const step = <E, R>(what: string, count: Effect.Effect<number, E, R>) =>
  Effect.tap(count, (number) =>
    number > 0 ? Effect.logInfo(`Stripe: ${what}`).pipe(Effect.annotateLogs({ number })) : Effect.void
  )

/** One step that fails, or breaks, doesn't keep the others from their work, but the run has failed then. */
const steps = (account: Account) =>
  Effect.all([
    Effect.exit(step("events that had been missed", missedEvents(account))),
    Effect.exit(step("pending purchases asked about", pendingPurchases(account))),
    Effect.exit(step("refunds sent", askedRefunds(account)))
  ]).pipe(
    Effect.flatMap((exits) => Effect.all(exits, { discard: true })),
    Effect.catchTags({
      StripeAway: (cause) => new Unavailable({ cause }),
      // To a question that it has always answered: our key may not ask it any more.
      StripeRefused: (refused) => Effect.die(refused)
    })
  )

export const reconcile = Effect.flatMap(Payments, Option.match({ onNone: () => Effect.void, onSome: steps }))
