/** Where a request came from: what guesses are counted by. */
import { isIP } from "node:net"
import { HttpServerRequest } from "@effect/platform"
import { Effect, Option } from "effect"
import { AppSettings } from "../config.ts"

/** An address as PostgreSQL reads one: no port, no brackets, no zone; undefined for what is none. */
const addressIn = (text: string) => {
  const trimmed = text.trim()
  const [, bracketed = trimmed] = /^\[(.*)\](?::\d+)?$/.exec(trimmed) ?? []
  const [bare = ""] = bracketed.split("%")
  const [, withoutPort = bare] = /^([\d.]+):\d+$/.exec(bare) ?? []
  return isIP(withoutPort) === 0 ? undefined : withoutPort
}

/**
 * The last entry of X-Forwarded-For is the one that our own proxy wrote; those before it came with the request and say
 * whatever the caller likes. Without a proxy that we trust, the whole header is the caller's.
 */
export const clientAddress = Effect.gen(function* () {
  const { trustProxy } = yield* AppSettings
  const { headers, remoteAddress } = yield* HttpServerRequest.HttpServerRequest
  const forwarded = trustProxy ? headers["x-forwarded-for"]?.split(",").at(-1) : undefined
  const peer = Option.getOrUndefined(remoteAddress)
  return (forwarded && addressIn(forwarded)) ?? (peer && addressIn(peer))
})
