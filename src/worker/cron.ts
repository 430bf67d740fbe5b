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

const entries: ReadonlyArray<CronEntry> = [
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
    task: "verify_books",
    match: "17 * * * *",
    identifier: "verify_books",
    options: { backfillPeriod: 0, maxAttempts: 3, jobKey: "verify_books" }
  }
]

export const cron = parseCronItems([...entries])
