/**
 * Fault 3, the fifth: the service's clock is an hour off, ahead in one process and behind in another. No rule about
 * money asks it: due dates, expiries and the ledger's times are SQL's now(), the database's own clock. What does hang on
 * it is who is let in: a token of just now is refused (401) where the clock is behind, and webhooks signed an hour away
 * are refused, so that purchases wait for the comparison with Stripe, which this scenario waits for too.
 */
import { randomFrom } from "../../src/dev/stripe/faults.ts"
import { underLoad } from "./load.ts"
import type { Scenario } from "./scenario.ts"
import { openStage, type Stage } from "./stage.ts"
import { sleep } from "./wait.ts"

const hour = 3_600_000

const facts = async (stage: Stage) => {
  const [row] = (
    await stage.admin((client) =>
      client.query<{ readonly ahead: string; readonly expired: string; readonly mark: string; readonly early: string }>(
        `select
           (select count(*) from credits.transactions t
            -- The clock as it is when the row is looked at: clients are still at work.
            where t.created_at > clock_timestamp() and t.caller not like '%torture seed') as ahead,
           (select count(*) from credits.reservations r where r.status = 'expired') as expired,
           (select count(*) from credits.stripe_watermarks w where w.events_until > now()) as mark,
           (select count(*) from credits.sync_charges c where c.period_start > now()) as early`
      )
    )
  ).rows
  return row
}

export const wrongClock = async (stage: Stage, milliseconds: number, ahead: ReadonlyArray<number>) => {
  const random = randomFrom(stage.task.seed)
  const deadline = performance.now() + milliseconds
  while (performance.now() < deadline) {
    await sleep(Math.min(2000 + random() * 2000, Math.max(0, deadline - performance.now())))
    // As the cron does every five minutes.
    await stage.admin((client) => client.query("select graphile_worker.add_job('reconcile_payments')"))
  }
  const seen = await facts(stage)
  return {
    facts: { "the services' clocks, minutes off": ahead.map((each) => each / 60_000).join(" and ") },
    wrong: [
      ...(seen?.ahead === "0" ? [] : [`${seen?.ahead} ledger rows are from the future`]),
      ...(seen?.expired === "0" ? [] : [`${seen?.expired} holds expired that last a day`]),
      ...(seen?.mark === "0"
        ? []
        : ["Stripe's events of the next hour count as seen: what is missed then stays missed"]),
      ...(seen?.early === "0" ? [] : [`${seen?.early} periods were charged before they began`])
    ]
  }
}

export const scenario: Scenario = {
  name: "wrong-clock",
  about: "the clocks of two services an hour ahead and an hour behind: money goes by the database's clock",
  minutes: 1,
  run: async (task) => {
    const clocks = [hour, -hour]
    const stage = await openStage(task, { services: 2, clocks })
    return underLoad(stage, { processes: 2, lanes: 8, besides: [401] }, () =>
      wrongClock(stage, task.milliseconds, clocks)
    )
  }
}
