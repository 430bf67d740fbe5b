/**
 * How often somebody may ask. Counted in this process's memory, so that counting costs nothing: of several processes
 * each lets through as much. Who shows a good credential is never counted by address.
 */
import { Context, Effect } from "effect"
import { TooManyRequests } from "../contract/errors.ts"
import { makeProblem } from "../contract/problem.ts"

export interface Rate {
  /** So many at once … */
  readonly burst: number
  /** … and from then on so many a second. */
  readonly perSecond: number
}

export interface Rates {
  /** By client address: requests that show no good credential, the probes of /health left out. */
  readonly strangers: Rate
  /** By user: everything that a person asks for. */
  readonly people: Rate
  /** By user: gifts made. Whoever makes and cancels them spends nothing and fills the ledger. */
  readonly gifts: Rate
}

const usual: Rates = {
  strangers: { burst: 600, perSecond: 20 },
  people: { burst: 500, perSecond: 100 },
  gifts: { burst: 200, perSecond: 5 }
}

/** The rates of a process; a test has its own. */
export class RequestRates extends Context.Reference<RequestRates>()("mana/RequestRates", {
  defaultValue: () => usual
}) {}

/** So many names are remembered, about 1 MB; of more, the one that was silent longest is forgotten. */
const most = 10_000

interface Bucket {
  readonly left: number
  /** Milliseconds of the clock, when it was counted. */
  readonly at: number
}

/** Counts requests by the name of whoever sends them. */
export const counter = ({ burst, perSecond }: Rate, clock: () => number = () => performance.now()) => {
  const buckets = new Map<string, Bucket>()
  const filled = (name: string, now: number) => {
    const { left, at } = buckets.get(name) ?? { left: burst, at: now }
    return Math.min(burst, left + ((now - at) / 1000) * perSecond)
  }
  return {
    /** Whether the next one will have to wait. */
    isOver: (name: string) => filled(name, clock()) < 1,
    /** Counts one: 0 when it may go on, else the seconds to wait. */
    count: (name: string): number => {
      const now = clock()
      const left = filled(name, now)
      const mayGoOn = left >= 1
      // What was asked last stands last.
      buckets.delete(name)
      buckets.set(name, { left: mayGoOn ? left - 1 : left, at: now })
      if (buckets.size > most) {
        const [oldest] = buckets.keys()
        if (oldest !== undefined) buckets.delete(oldest)
      }
      return mayGoOn ? 0 : Math.ceil((1 - left) / perSecond)
    }
  }
}

export const tooMany = (retryAfterSeconds: number) =>
  makeProblem(TooManyRequests, `Too many requests. Wait ${retryAfterSeconds} s.`, { retryAfterSeconds })

/** Makes the function that runs so many effects at the same time for each name, and tells others to come back. */
export const atOnce = (places: number) => {
  const running = new Map<string, number>()
  const leave = (name: string) => {
    const others = (running.get(name) ?? 1) - 1
    if (others === 0) running.delete(name)
    else running.set(name, others)
  }
  return <A, E, R>(name: string, effect: Effect.Effect<A, E, R>) =>
    Effect.suspend((): Effect.Effect<A, E | ReturnType<typeof tooMany>, R> => {
      const others = running.get(name) ?? 0
      if (others >= places) return Effect.fail(tooMany(1))
      running.set(name, others + 1)
      return Effect.ensuring(
        effect,
        Effect.sync(() => leave(name))
      )
    })
}

/** Goes on, or tells to come back after so many seconds. */
export const orWait = (seconds: number) => (seconds === 0 ? Effect.void : Effect.fail(tooMany(seconds)))
