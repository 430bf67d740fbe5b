/**
 * The auth service's public keys. jose's own remote key set forgets known keys when the auth service is away;
 * this one keeps the last good set, so that whoever was signed in stays it.
 */
import { createLocalJWKSet, errors, type CryptoKey, type FlattenedJWSInput, type JWSHeaderParameters } from "jose"
import { Schema } from "effect"

/** A token's key can't be looked up: the auth service doesn't answer. */
export class KeysUnavailable extends Error {}

export type FindKey = (header: JWSHeaderParameters, token: FlattenedJWSInput) => Promise<CryptoKey>

const timeoutMs = 3_000
/** After that a withdrawn key is no longer taken, provided that the auth service answers. */
const staleMs = 5 * 60_000
/** How often strangers can make us ask: this many times within a minute, whatever their tokens say. */
const fetchesPerMinute = 6

const Jwk = Schema.StructWithRest(Schema.Struct({ kty: Schema.mutableKey(Schema.String) }), [
  Schema.Record(Schema.String, Schema.mutableKey(Schema.Unknown))
])
const decodeJwks = Schema.decodeUnknownSync(
  Schema.fromJsonString(Schema.Struct({ keys: Schema.mutable(Schema.Array(Jwk)) }))
)

const fetchKeys = async (url: string): Promise<FindKey> => {
  const response = await fetch(url, {
    signal: AbortSignal.timeout(timeoutMs),
    redirect: "error",
    headers: { accept: "application/json" }
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`${url} answered ${response.status}`)
  return createLocalJWKSet(decodeJwks(text))
}

/** Finds the key that a token was signed with; fetches the set at first use, when it is stale, and for a new key. */
export const remoteKeySet = (url: string, now: () => number = Date.now): FindKey => {
  let known: { readonly find: FindKey; readonly at: number } | undefined
  let underWay: Promise<void> | undefined
  let fetches: ReadonlyArray<number> = []
  let lastFailed = false

  /** One fetch at a time, however many ask. */
  const refresh = () => {
    underWay ??= (async () => {
      const at = now()
      fetches = [...fetches, at]
      try {
        known = { find: await fetchKeys(url), at }
        lastFailed = false
      } catch (cause) {
        lastFailed = true
        throw new KeysUnavailable(`No keys from ${url}`, { cause })
      } finally {
        underWay = undefined
      }
    })()
    return underWay
  }

  const mayFetch = () => {
    fetches = fetches.filter((at) => now() - at < 60_000)
    return underWay !== undefined || fetches.length < fetchesPerMinute
  }

  return async (header, token) => {
    // Nothing known yet: everybody waits for the same fetch, and the bound is the fetch's own time.
    if (known === undefined) await refresh()
    if (known === undefined) throw new KeysUnavailable(`No keys from ${url}`)
    if (now() - known.at > staleMs && mayFetch()) refresh().catch(() => undefined)
    try {
      return await known.find(header, token)
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error
      if (mayFetch()) await refresh()
      // Whether this key is good, nobody can say now.
      else if (lastFailed) throw new KeysUnavailable(`No keys from ${url}`, { cause: error })
      return known.find(header, token)
    }
  }
}
