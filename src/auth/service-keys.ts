/** Service keys: those of the environment, compared in constant time, and those of the table, looked up by their hash. */
import { createHash, randomBytes, randomInt, timingSafeEqual } from "node:crypto"
import { Clock, Data, Deferred, Effect, Redacted, Schema, Semaphore } from "effect"
import type { SqlClient } from "effect/sql"
import { Scope } from "../contract/scopes.ts"
import { call } from "../database/call.ts"
import { Overloaded, Unavailable } from "../database/errors.ts"

const digest = (text: string) => createHash("sha256").update(text).digest()

const prefixSymbols = "0123456789abcdefghijklmnopqrstuvwxyz"

/** The prefix that is no secret, 40 bits of it, and 256 random bits. Scanners find a key that got where it shouldn't. */
const secretPattern = /^mana_([0-9a-z]{8})_[\w-]{43}$/

/** A new key. Nobody keeps the secret: who makes one hands it over, and the database gets its hash. */
export const makeSecret = () => {
  const prefix = Array.from({ length: 8 }, () => prefixSymbols[randomInt(prefixSymbols.length)]).join("")
  return { prefix, secret: `mana_${prefix}_${randomBytes(32).toString("base64url")}` }
}

/** The prefix of what looks like a key. */
export const prefixOf = (text: string) => secretPattern.exec(text)?.[1]

/** sha256 as SQL takes it. 256 random bits can't be guessed, so their hash needs neither salt nor stretching. */
export const hashOf = (secret: string) => `\\x${digest(secret).toString("hex")}`

/** A key of one app, as credits.service_key answers. */
const AppKey = Schema.Struct({
  status: Schema.Literal("active"),
  id: Schema.String,
  appId: Schema.String,
  scopes: Schema.Array(Scope),
  isCapped: Schema.Boolean
})
export type AppKey = typeof AppKey.Type

const Verdict = Schema.Union([AppKey, Schema.Struct({ status: Schema.Literals(["unknown", "revoked", "expired"]) })])
type Verdict = typeof Verdict.Type

/** One of MANA_SERVICE_KEY: it may do everything, for any app. */
export interface RootKey {
  readonly status: "root"
}

/** Says to the caller what is wrong with their key. */
export class InvalidKey extends Data.TaggedError("InvalidKey")<{ readonly message: string }> {}

const wrong = {
  unknown: "This address is for services: it needs a service key in X-Service-Key.",
  revoked: "This service key was revoked.",
  expired: "This service key has expired."
}

/** Makes the function that says whether a key is one of the keys. */
const isOneOf = (keys: ReadonlyArray<Redacted.Redacted>) => {
  const digests = keys.map((key) => digest(Redacted.value(key)))
  return (presented: string) => {
    const candidate = digest(presented)
    // Every key is looked at, so that time doesn't say which one it was. Digests are of one length.
    return digests.filter((each) => timingSafeEqual(each, candidate)).length > 0
  }
}

export interface Limits {
  /**
   * How long a good answer counts, in seconds, from before it was asked for, so that nothing is older than it seems: a
   * revoked key stops in this time, here and wherever else it is kept, whatever becomes of the database meanwhile.
   */
  readonly goodFor: number
  /** The same of a bad answer. A wrong key stays wrong, but needn't be remembered. */
  readonly badFor: number
  /** Seconds after which a lookup is given up, and asked for anew by whoever comes next. */
  readonly patience: number
  /** Answers kept, good and bad apart: strangers can't push out those we know. */
  readonly kept: number
  /** Lookups at once: more than the keys there are need, and less than would use up the pool. */
  readonly atOnce: number
  /** Lookups that may be under way or wait; beyond it a caller is told to come back. */
  readonly waiting: number
}

const usual: Limits = { goodFor: 20, badFor: 10, patience: 2, kept: 1000, atOnce: 4, waiting: 200 }

interface Known {
  /** On the clock that only goes forward, in nanoseconds. */
  readonly since: bigint
  readonly verdict: Verdict
}

interface Asked {
  readonly since: bigint
  readonly answer: Deferred.Deferred<Verdict, Unavailable>
}

/** Looks keys up by their hash: each once at a time, few at once, and not again while an answer counts. */
const makeLookup = Effect.fnUntraced(function* (limits: Limits) {
  const database = yield* Effect.context<SqlClient.SqlClient>()
  const permits = yield* Semaphore.make(limits.atOnce)
  const good = new Map<string, Known>()
  const bad = new Map<string, Known>()
  const pending = new Map<string, Asked>()

  // Ends a wait for a permit or for an answer even where the caller can't be interrupted: what a time-out races is
  // forked interruptible.
  const inTime = Effect.timeoutOrElse({
    duration: `${limits.patience} seconds`,
    orElse: () => new Unavailable({ cause: "looking a service key up took too long" })
  })

  /** In order of the latest use; beyond the limit the oldest is forgotten. */
  const remember = (entries: Map<string, Known>, hash: string, known: Known) => {
    entries.delete(hash)
    entries.set(hash, known)
    const [oldest] = entries.keys()
    if (entries.size > limits.kept && oldest !== undefined) entries.delete(oldest)
  }

  const isFresh = (since: bigint, now: bigint, during: number) => now - since < BigInt(during) * 1_000_000_000n

  const ask = (hash: string, asked: Asked) => {
    const isLatest = () => pending.get(hash) === asked
    return call("credits.service_key", Verdict, { hash }, { keyed: true }).pipe(
      permits.withPermit,
      inTime,
      Effect.provide(database),
      Effect.tap((verdict) =>
        Effect.sync(() => {
          if (!isLatest()) return
          good.delete(hash)
          remember(verdict.status === "active" ? good : bad, hash, { since: asked.since, verdict })
        })
      ),
      // It has no refusals.
      Effect.catchTag("Refused", (refused) => Effect.die(refused)),
      Effect.ensuring(
        Effect.sync(() => {
          if (isLatest()) pending.delete(hash)
        })
      ),
      Deferred.into(asked.answer)
    )
  }

  const answerOf = ({ answer }: Asked) => inTime(Deferred.await(answer))

  return (hash: string, isSuspect: () => boolean): Effect.Effect<Verdict, Unavailable | Overloaded> =>
    Effect.flatMap(Clock.monotonicTimeNanos, (now): Effect.Effect<Verdict, Unavailable | Overloaded> => {
      const known = good.get(hash)
      if (known !== undefined && isFresh(known.since, now, limits.goodFor)) return Effect.succeed(known.verdict)
      const refused = bad.get(hash)
      if (refused !== undefined && isFresh(refused.since, now, limits.badFor)) return Effect.succeed(refused.verdict)
      const underWay = pending.get(hash)
      if (underWay !== undefined && isFresh(underWay.since, now, limits.patience)) return answerOf(underWay)
      // Of an address that tries one after the other we look up none but what was good before.
      if (known === undefined && isSuspect()) return Effect.succeed<Verdict>({ status: "unknown" })
      if (pending.size >= limits.waiting) return new Overloaded()
      const asked: Asked = { since: now, answer: Deferred.makeUnsafe() }
      pending.set(hash, asked)
      // Outlives the request that began it: others may wait for it too.
      return Effect.andThen(Effect.forkDetach(ask(hash, asked)), answerOf(asked))
    })
})

/** Makes the function that judges what a caller shows. */
export const serviceKeys = (fromEnvironment: ReadonlyArray<Redacted.Redacted>, limits: Limits = usual) =>
  Effect.map(makeLookup(limits), (lookUp) => {
    const isRootKey = isOneOf(fromEnvironment)
    const root: RootKey = { status: "root" }
    return (
      presented: string,
      isSuspect: () => boolean
    ): Effect.Effect<RootKey | AppKey, InvalidKey | Unavailable | Overloaded> => {
      if (isRootKey(presented)) return Effect.succeed(root)
      // What can't be a key isn't looked up.
      if (!secretPattern.test(presented)) return new InvalidKey({ message: wrong.unknown })
      return Effect.flatMap(lookUp(hashOf(presented), isSuspect), (verdict) =>
        verdict.status === "active" ? Effect.succeed(verdict) : new InvalidKey({ message: wrong[verdict.status] })
      )
    }
  })
