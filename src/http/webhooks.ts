/** Stripe's events: believed if signed, stored and applied by one function, answered when that is committed. */
import { Clock, Effect, Schema } from "effect"
import { verified } from "../stripe/webhook.ts"
import { ask } from "./ask.ts"
import { clientAddress, networkOf } from "./client-address.ts"
import { invalid } from "./invalid.ts"
import { atOnce } from "./limits.ts"
import { account } from "./payments.ts"
import { webhooks as contract } from "../contract/webhooks.ts"
import { stripe } from "./callers.ts"
import { endpointsOf, route } from "./route.ts"

const Applied = Schema.Struct({
  eventId: Schema.String,
  outcome: Schema.Literal("applied", "ignored", "kept"),
  reason: Schema.NullOr(Schema.String)
})

/** Somebody should look: ops.kept_events() has it until it is applied. */
const noteKept = ({ eventId, outcome, reason }: typeof Applied.Type) =>
  outcome === "kept"
    ? Effect.logWarning("An event of Stripe's is kept, not applied").pipe(Effect.annotateLogs({ eventId, reason }))
    : Effect.void

/** A body of a stranger's may have 1 MiB, and only who has read it knows whether they are one. */
const reading = atOnce(20)

const to = endpointsOf(contract)

export const webhooks = [
  route(to("stripe"), stripe, ({ request, text }) =>
    Effect.gen(function* () {
      const { webhookSecrets } = yield* account
      const signed = Effect.gen(function* () {
        const body = yield* text
        const now = yield* Clock.currentTimeMillis
        const header = request.headers["stripe-signature"]
        return yield* verified({ body, header, secrets: webhookSecrets, now }).pipe(
          Effect.mapError((message) => invalid({ path: "stripe-signature", message }))
        )
      })
      const event = yield* reading(networkOf((yield* clientAddress(request)) ?? ""), signed)
      request.state.caller = "stripe"
      request.state.isStranger = false
      // However often it is sent, it is applied once.
      yield* Effect.flatMap(ask("stripe.apply_event", Applied, { event }, { keyed: true }), noteKept)
      return { received: true as const }
    })
  )
]
