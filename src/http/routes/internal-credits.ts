/** Internal credits: for any user, asked by a service. */
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Api } from "../../contract/api.ts"
import { ask, forService } from "./ask.ts"
import { askForDebit } from "./debit.ts"
import { useBatch } from "./use-batch.ts"

/** Wire times are cut to the millisecond: the balance at one of them has seen all that happened within it. */
const endOfMillisecond = (time: string | undefined) => time?.replace("Z", "999Z")

export const internalCredits = HttpApiBuilder.group(
  Api,
  "internalCredits",
  Effect.fnUntraced(function* (handlers) {
    const debit = yield* askForDebit
    return handlers.handleAll({
      balance: (asked) => ask(asked, "credits.balance", { ...asked.params, at: endOfMillisecond(asked.query.at) }),
      use: forService((asked, { caller, serviceKeyId }) => debit(asked, { ...asked.payload, caller, serviceKeyId })),
      useBatch: forService((asked, service) => useBatch(asked, asked.payload.items, service)),
      refund: forService((asked, { caller, appId }) =>
        ask(asked, "credits.refund", { appId, ...asked.payload, caller })
      ),
      grant: forService((asked, { caller }) => ask(asked, "credits.grant", { ...asked.payload, caller })),
      init: (asked) => ask(asked, "credits.init", asked.payload),
      reserve: forService((asked, { caller, appId, serviceKeyId }) =>
        // The amount has no default, since an operation stands in for it.
        ask(asked, "credits.reserve", { amount: null, ...asked.payload, appId, caller, serviceKeyId })
      ),
      commit: forService((asked, { caller, onlyOf }) =>
        ask(asked, "credits.commit", { ...asked.payload, caller, onlyOf })
      ),
      refundReservation: forService((asked, { onlyOf }) => ask(asked, "credits.release", { ...asked.payload, onlyOf }))
    })
  })
)
