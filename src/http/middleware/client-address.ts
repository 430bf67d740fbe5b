/** Where a request came from: what guesses and unauthenticated requests are counted by. */
import { isIP } from "node:net"
import { Option } from "effect"
import type { HttpServerRequest } from "effect/http"

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
 * whatever the client likes. Without a proxy that we trust, the whole header is the client's.
 */
export const clientAddress = (
  { headers, remoteAddress }: Pick<HttpServerRequest.HttpServerRequest, "headers" | "remoteAddress">,
  { trustProxy }: { readonly trustProxy: boolean }
) => {
  const forwarded = trustProxy ? headers["x-forwarded-for"]?.split(",").at(-1) : undefined
  const peer = Option.getOrUndefined(remoteAddress)
  return addressIn(forwarded ?? "") ?? addressIn(peer ?? "")
}

const groups = (text: string) => (text === "" ? [] : text.split(":"))

/** One subscriber's addresses: IPv6 is handed out by the /64, IPv4 by the one. */
export const networkOf = (address: string) => {
  const [, mapped] = /^::ffff:([\d.]+)$/i.exec(address) ?? []
  if (mapped !== undefined || isIP(address) === 4) return mapped ?? address
  const [before = "", after = ""] = address.toLowerCase().split("::")
  const [head, tail] = [groups(before), groups(after)]
  const zeros = Array.from({ length: Math.max(0, 8 - head.length - tail.length) }, () => "0")
  return [...head, ...zeros, ...tail]
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ""))
    .join(":")
}
