/**
 * Rate limits, counted in this process's memory, so that counting costs nothing: of several processes each lets through
 * as much. A request with a valid credential is never counted by address.
 */
import { Context, Effect, Layer } from "effect"
import type { HttpServerRequest } from "effect/http"
import { AppSettings } from "../../config.ts"
import { Public } from "../../contract/auth.ts"
import { TooManyRequests } from "../../contract/problems.ts"
import { clientAddress, networkOf } from "./client-address.ts"
import { HttpServerRequest as CurrentRequest } from "effect/http/HttpServerRequest"

export interface Rate {
  /** Requests at once … */
  readonly burst: number
  /** … and from then on so many a second. */
  readonly perSecond: number
}

export interface Rates {
  /** By network: requests that show no valid credential, the probes of /health left out. */
  readonly unauthenticated: Rate
  /** By user: all requests of a person. */
  readonly people: Rate
  /** By user: gifts made. Making and cancelling them spends nothing and fills the ledger. */
  readonly gifts: Rate
}

/** The rates of a process; a test has its own. */
export const RequestRates = Context.Reference<Rates>("mana/RequestRates", {
  defaultValue: () => ({
    unauthenticated: { burst: 600, perSecond: 20 },
    people: { burst: 500, perSecond: 100 },
    gifts: { burst: 200, perSecond: 5 }
  })
})

/** Names remembered, about 1 MB; of more, the one that was silent longest is forgotten. */
const maxBuckets = 10_000

interface Bucket {
  readonly left: number
  /** Milliseconds of the clock, when it was counted. */
  readonly at: number
}

/** Counts requests by a name. */
export const tokenBuckets = ({ burst, perSecond }: Rate, clock: () => number = () => performance.now()) => {
  const buckets = new Map<string, Bucket>()
  const filled = (name: string, now: number) => {
    const { left, at } = buckets.get(name) ?? { left: burst, at: now }
    return Math.min(burst, left + ((now - at) / 1000) * perSecond)
  }
  return {
    /** Whether the next request will have to wait. */
    isOver: (name: string) => filled(name, clock()) < 1,
    /** Counts one: 0 when it may go on, else the seconds to wait. */
    count: (name: string): number => {
      const now = clock()
      const left = filled(name, now)
      const mayGoOn = left >= 1
      // The one counted last stands last.
      buckets.delete(name)
      buckets.set(name, { left: mayGoOn ? left - 1 : left, at: now })
      if (buckets.size > maxBuckets) {
        const [oldest] = buckets.keys()
        if (oldest !== undefined) buckets.delete(oldest)
      }
      return mayGoOn ? 0 : Math.ceil((1 - left) / perSecond)
    }
  }
}

export const tooMany = (retryAfterSeconds: number) =>
  new TooManyRequests({ detail: `Too many requests. Wait ${retryAfterSeconds} s.`, retryAfterSeconds })

/** Goes on, or tells to come back after so many seconds. */
export const orTooMany = (seconds: number) => (seconds === 0 ? Effect.void : Effect.fail(tooMany(seconds)))

/** Makes the function that runs so many effects at the same time for each name, and tells others to come back. */
export const atOnce = (places: number) => {
  const running = new Map<string, number>()
  const leave = (name: string) => {
    const others = (running.get(name) ?? 1) - 1
    if (others === 0) running.delete(name)
    else running.set(name, others)
  }
  return <A, E, R>(name: string, effect: Effect.Effect<A, E, R>) =>
    Effect.suspend((): Effect.Effect<A, E | TooManyRequests, R> => {
      const others = running.get(name) ?? 0
      if (others >= places) return Effect.fail(tooMany(1))
      running.set(name, others + 1)
      return Effect.ensuring(
        effect,
        Effect.sync(() => leave(name))
      )
    })
}

type Request = HttpServerRequest.HttpServerRequest

export class RateLimits extends Context.Service<
  RateLimits,
  {
    /** Counts a request without a valid credential by its network. */
    readonly unauthenticated: (request: Request) => Effect.Effect<void, TooManyRequests>
    /** Whether a network is over its rate of unauthenticated requests. */
    readonly isOver: (request: Request) => boolean
    readonly person: (userId: string) => Effect.Effect<void, TooManyRequests>
    readonly gifts: (userId: string) => Effect.Effect<void, TooManyRequests>
  }
>()("mana/RateLimits") {
  static readonly layer = Layer.effect(
    RateLimits,
    Effect.gen(function* () {
      const settings = yield* AppSettings
      const rates = yield* RequestRates
      const unauthenticated = tokenBuckets(rates.unauthenticated)
      const people = tokenBuckets(rates.people)
      const gifts = tokenBuckets(rates.gifts)
      const network = (request: Request) => networkOf(clientAddress(request, settings) ?? "")
      return {
        unauthenticated: (request) => Effect.suspend(() => orTooMany(unauthenticated.count(network(request)))),
        isOver: (request) => unauthenticated.isOver(network(request)),
        person: (userId) => Effect.suspend(() => orTooMany(people.count(userId))),
        gifts: (userId) => Effect.suspend(() => orTooMany(gifts.count(userId)))
      }
    })
  )
}

/** Endpoints without a credential. */
export const publicAccess = Layer.effect(
  Public,
  Effect.map(
    RateLimits,
    ({ unauthenticated }) =>
      (httpEffect) =>
        Effect.flatMap(CurrentRequest, (request) => Effect.andThen(unauthenticated(request), httpEffect))
  )
)
