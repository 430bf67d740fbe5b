/** Internal sync: for services of ours. */
import { ChargeRun, internalSync as contract } from "../contract/internal-sync.ts"
import { SyncStatus } from "../contract/sync.ts"
import { inRounds, roundLimit } from "../database/charge-run.ts"
import { ask } from "./ask.ts"
import { service } from "./callers.ts"
import { endpointsOf, route } from "./route.ts"

// Within a request's time: 100,000 periods take about 15 seconds. The clock's run does the rest.
const maxRounds = 100

const to = endpointsOf(contract)

export const internalSync = [
  route(to("status"), service, ({ path }) => ask("sync.status", SyncStatus, path)),
  route(to("chargeRecurring"), service, ({ caller: { caller } }) =>
    inRounds(
      // Sent again after a lost connection it can't charge a period twice.
      ask("sync.charge_due", ChargeRun, { limit: roundLimit, caller }, { keyed: true }),
      maxRounds
    )
  )
]
