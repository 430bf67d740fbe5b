/** The charge run of Cloud Sync: rounds of sync.charge_due, each a transaction of its own. */
import { Effect } from "effect"
import type { ChargeRun } from "../contract/internal-sync.ts"

type Counts = typeof ChargeRun.Type

/** Periods a round, the function's p_limit: a tenth of a second or so in which their balances are locked. */
export const roundLimit = 1000

const nothing: Counts = { charged: 0, paused: 0, errors: 0, total: 0 }

const sum = (a: Counts, b: Counts): Counts => ({
  charged: a.charged + b.charged,
  paused: a.paused + b.paused,
  errors: a.errors + b.errors,
  total: a.total + b.total
})

/** Rounds until one finds less than it may do, or until there were so many; answers with what they did together. */
export const inRounds = Effect.fnUntraced(function* <E, R>(round: Effect.Effect<Counts, E, R>, maxRounds: number) {
  let done = nothing
  for (let rounds = 0; rounds < maxRounds; rounds++) {
    const counts = yield* round
    done = sum(done, counts)
    if (counts.total < roundLimit) break
  }
  return done
})
