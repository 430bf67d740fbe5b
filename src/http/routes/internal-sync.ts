/** Internal sync: for services. */
import { HttpApiBuilder } from "effect/http-api"
import { Api } from "../../contract/api.ts"
import { inRounds, roundLimit } from "../../database/charge-run.ts"
import { ask, forService } from "./ask.ts"

// Within a request's time: 100,000 periods take about 15 seconds. The clock's run does the rest.
const maxRounds = 100

export const internalSync = HttpApiBuilder.group(Api, "internalSync", (handlers) =>
  handlers.handleAll({
    status: (asked) => ask(asked, "sync.status", asked.params),
    chargeRecurring: forService((asked, { caller }) =>
      inRounds(ask(asked, "sync.charge_due", { limit: roundLimit, caller }), maxRounds)
    )
  })
)
