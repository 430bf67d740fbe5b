/** Service keys: those of the environment, compared in constant time, and those of the table, looked up by their hash. */
import { createHash, randomBytes, randomInt, timingSafeEqual } from "node:crypto"
import type * as SqlClient from "@effect/sql/SqlClient"
import { Clock, Data, Deferred, Effect, Redacted, Schema } from "effect"
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

const Verdict = Schema.Union(AppKey, Schema.Struct({ status: Schema.Literal("unknown", "revoked", "expired") }))
type Verdict = typeof Verdict.Type

/** One of MANA_SERVICE_KEY: it may do everything, for any app. */
export interface HouseKey {
  readonly status: "house"
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

const seconds = (count: number) => BigInt(count) * 1_000_000_000n

/**
 * How long an answer counts, from before it was asked for, so that nothing is older than it seems: a revoked key stops
 * in 20 seconds, here and wherever else it is kept, whatever becomes of the database meanwhile.
 */
const goodFor = seconds(20)
/** A wrong key stays wrong, but needn't be remembered. */
const badFor = seconds(10)
/** After this a lookup is given up, and asked for anew by whoever comes next. */
const patience = 2
/** Answers kept, good and bad apart: strangers can't push out those we know. */
const kept = 1000
/** Lookups at once. More than strangers can use up the pool with, and more than enough for the keys there are. */
const atOnce = 4
const waiting = 200

interface Asked {
  /** On the clock that only goes forward. */
  readonly since: bigint
  readonly answer: Deferred.Deferred<Verdict, Unavailable | Overloaded>
}

/** A map that forgets its oldest entry when it is full. */
const remember = <A>(entries: Map<string, A>, key: string, entry: A) => {
  entries.delete(key)
  entries.set(key, entry)
  const [oldest] = entries.keys()
  if (entries.size > kept && oldest !== undefined) entries.delete(oldest)
}

const inTime = Effect.timeoutFail({
  duration: `${patience} seconds`,
  onTimeout: () => new Unavailable({ cause: "looking a service key up took too long" })
})

// Handlers of money can't be interrupted; waiting can.
const answerOf = ({ answer }: Asked) => inTime(Effect.interruptible(Deferred.await(answer)))

/** Looks keys up by their hash: each once at a time, few at once, and not again while an answer counts. */
const makeLookup = Effect.gen(function* () {
  const database = yield* Effect.context<SqlClient.SqlClient>()
  const permits = yield* Effect.makeSemaphore(atOnce)
  const pending = new Map<string, Asked>()
  const good = new Map<string, Asked>()
  const bad = new Map<string, Asked>()

  const ask = (hash: string, asked: Asked) =>
    call("credits.service_key", Verdict, { hash }, { keyed: true }).pipe(
      permits.withPermits(1),
      inTime,
      // Waiting for a permit ends, whoever asks.
      Effect.interruptible,
      Effect.provide(database),
      Effect.tap(({ status }) =>
        Effect.sync(() => {
          if (pending.get(hash) !== asked) return
          good.delete(hash)
          remember(status === "active" ? good : bad, hash, asked)
        })
      ),
      // It has no refusals.
      Effect.catchTag("Refused", (refused) => Effect.die(refused)),
      Effect.ensuring(
        Effect.sync(() => {
          if (pending.get(hash) === asked) pending.delete(hash)
        })
      ),
      Effect.intoDeferred(asked.answer)
    )

  return (hash: string, isSuspect: () => boolean) =>
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeNanos
      const isFresh = (asked: Asked | undefined, during: bigint) => asked !== undefined && now - asked.since < during
      for (const [asked, during] of [
        [good.get(hash), goodFor],
        [bad.get(hash), badFor],
        [pending.get(hash), seconds(patience)]
      ] as const) {
        if (asked !== undefined && isFresh(asked, during)) return yield* answerOf(asked)
      }
      // Of an address that tries one after the other we look up none but what was good before.
      if (!good.has(hash) && isSuspect()) return yield* Effect.succeed<Verdict>({ status: "unknown" })
      if (pending.size >= waiting) return yield* new Overloaded()
      const asked: Asked = { since: now, answer: yield* Deferred.make<Verdict, Unavailable | Overloaded>() }
      pending.set(hash, asked)
      // Of nobody's request: others may wait for it too.
      yield* Effect.forkDaemon(ask(hash, asked))
      return yield* answerOf(asked)
    })
})

/** Makes the function that judges what a caller shows. */
export const serviceKeys = (fromEnvironment: ReadonlyArray<Redacted.Redacted>) =>
  Effect.map(makeLookup, (lookUp) => {
    const isHouseKey = isOneOf(fromEnvironment)
    const house: HouseKey = { status: "house" }
    return (
      presented: string,
      isSuspect: () => boolean
    ): Effect.Effect<HouseKey | AppKey, InvalidKey | Unavailable | Overloaded> => {
      if (isHouseKey(presented)) return Effect.succeed(house)
      // What can't be a key isn't looked up.
      if (!secretPattern.test(presented)) return new InvalidKey({ message: wrong.unknown })
      return Effect.flatMap(lookUp(hashOf(presented), isSuspect), (verdict) =>
        verdict.status === "active" ? Effect.succeed(verdict) : new InvalidKey({ message: wrong[verdict.status] })
      )
    }
  })
