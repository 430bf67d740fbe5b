/** When the clock asks for what. UTC. An `identifier` is never renamed: the queue remembers by it what has been asked. */
import { parseCronItems } from "graphile-worker"
import type { tasks } from "./tasks.ts"

interface CronEntry {
  readonly task: keyof typeof tasks
  readonly match: string
  readonly identifier: string
  readonly options: {
    /** How long a time that passed while no worker ran is made up for, in milliseconds. */
    readonly backfillPeriod: number
    readonly maxAttempts: number
    /** One of a kind in the queue: a worker that was away doesn't find a heap. */
    readonly jobKey: string
  }
}

const day = 86_400_000

const entries: ReadonlyArray<CronEntry> = [
  {
    task: "charge_sync",
    match: "0 * * * *",
    identifier: "charge_sync",
    // One run makes up for all that passed, and comes at once when there is a worker again.
    options: { backfillPeriod: day, maxAttempts: 5, jobKey: "charge_sync" }
  },
  {
    task: "deliver_events",
    match: "* * * * *",
    identifier: "deliver_events",
    // The next minute is the next attempt; an event's own tries are counted with the event.
    options: { backfillPeriod: 0, maxAttempts: 1, jobKey: "deliver_events" }
  },
  {
    task: "expire_gifts",
    match: "* * * * *",
    identifier: "expire_gifts",
    // As with reservations: the next minute catches up by itself.
    options: { backfillPeriod: 0, maxAttempts: 1, jobKey: "expire_gifts" }
  },
  {
    task: "expire_reservations",
    match: "* * * * *",
    identifier: "expire_reservations",
    // The next minute is the next attempt, and catches up by itself.
    options: { backfillPeriod: 0, maxAttempts: 1, jobKey: "expire_reservations" }
  },
  {
    task: "retry_stripe_events",
    match: "* * * * *",
    identifier: "retry_stripe_events",
    options: { backfillPeriod: 0, maxAttempts: 1, jobKey: "retry_stripe_events" }
  },
  {
    // Two calls when there is nothing to do. Often, since a lost webhook is somebody waiting for what they paid for.
    task: "reconcile_payments",
    match: "*/5 * * * *",
    identifier: "reconcile_payments",
    options: { backfillPeriod: 0, maxAttempts: 1, jobKey: "reconcile_payments" }
  },
  {
    task: "seal_books",
    match: "43 3 * * *",
    identifier: "seal_books",
    // A day whose hour passed while no worker ran is sealed when there is one again.
    options: { backfillPeriod: day, maxAttempts: 3, jobKey: "seal_books" }
  },
  {
    task: "verify_books",
    match: "17 * * * *",
    identifier: "verify_books",
    options: { backfillPeriod: 0, maxAttempts: 3, jobKey: "verify_books" }
  }
]

export const cron = parseCronItems([...entries])
