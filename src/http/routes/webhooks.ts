/** Stripe's events: believed if signed, stored and applied by one function, answered when that is committed. */
import { Clock, Context, Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { AppSettings } from "../../config.ts"
import { Api } from "../../contract/api.ts"
import { MaxBodyBytes } from "../../contract/body.ts"
import { verified } from "../../stripe/webhook.ts"
import { readText } from "../middleware/body.ts"
import { clientAddress, networkOf } from "../middleware/client-address.ts"
import { invalid } from "../middleware/invalid.ts"
import { atOnce, RateLimits } from "../middleware/rate-limits.ts"
import { RequestState } from "../middleware/request-state.ts"
import { askFor } from "./ask.ts"
import { account } from "./payments.ts"

interface Applied {
  readonly eventId: string
  readonly outcome: "applied" | "ignored" | "kept"
  readonly reason: string | null
}

/** Somebody should look: ops.kept_events() has it until it is applied. */
const noteKept = ({ eventId, outcome, reason }: Applied) =>
  outcome === "kept"
    ? Effect.logWarning("An event of Stripe's is kept, not applied").pipe(Effect.annotateLogs({ eventId, reason }))
    : Effect.void

/** Attack: a body without a valid signature may have 1 MiB, and has to be read before that is known. */
const reading = atOnce(20)

export const webhooks = HttpApiBuilder.group(
  Api,
  "webhooks",
  Effect.fnUntraced(function* (handlers) {
    const settings = yield* AppSettings
    const limits = yield* RateLimits
    return handlers.handleAll({
      stripe: Effect.fnUntraced(function* (asked) {
        const { webhookSecrets } = yield* account
        const header = asked.request.headers["stripe-signature"]
        // Counted before its body is read.
        if (header === undefined) yield* limits.unauthenticated(asked.request)
        const signed = Effect.gen(function* () {
          const body = yield* readText(asked.request, Context.get(asked.endpoint.annotations, MaxBodyBytes))
          const now = yield* Clock.currentTimeMillis
          return yield* Effect.mapError(
            Effect.fromResult(verified({ body, header, secrets: webhookSecrets, now })),
            (message) => invalid({ path: "stripe-signature", message })
          )
        })
        const network = networkOf(clientAddress(asked.request, settings) ?? "")
        const event = yield* Effect.tapError(reading(network, signed), () =>
          header === undefined ? Effect.void : limits.unauthenticated(asked.request)
        )
        const state = yield* RequestState
        state.caller = "stripe"
        yield* Effect.flatMap(askFor<Applied, typeof asked.endpoint>(asked, "stripe.apply_event", { event }), noteKept)
        return {}
      })
    })
  })
)
