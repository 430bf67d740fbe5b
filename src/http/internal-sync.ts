/** Internal sync: for services of ours. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { Effect } from "effect"
import { Api } from "../contract/api.ts"
import { CurrentService } from "../contract/auth.ts"
import { ChargeRun } from "../contract/internal-sync.ts"
import { SyncStatus } from "../contract/sync.ts"
import { inRounds, roundLimit } from "../database/charge-run.ts"
import { ask } from "./ask.ts"

// Within a request's time: 100,000 periods take about 15 seconds. The clock's run does the rest.
const maxRounds = 100

export const internalSync = HttpApiBuilder.group(Api, "internalSync", (handlers) =>
  handlers
    .handle("status", ({ path }) => ask("sync.status", SyncStatus, path))
    .handle(
      "chargeRecurring",
      () =>
        Effect.flatMap(CurrentService, ({ caller }) =>
          inRounds(
            // Sent again after a lost connection it can't charge a period twice.
            ask("sync.charge_due", ChargeRun, { limit: roundLimit, caller }, { keyed: true }),
            maxRounds
          )
        ),
      { uninterruptible: true }
    )
)
