/** Which browser pages may call us. */
import type { Answer } from "./answer.ts"
import type { OurRequest } from "./our-request.ts"

const allowedMethods = "GET, POST, DELETE"
const allowedHeaders = "Authorization, Content-Type, Idempotency-Key, X-App-Id, X-Request-Id"
const exposedHeaders = "Idempotency-Replayed, Link, Retry-After, X-Request-Id"
/** How long a browser may remember the answer to a preflight, in seconds. */
const maxAge = "600"

/** Makes the function that says which headers an answer gets. Exact origins; without any, none may. */
export const corsHeaders = (origins: ReadonlyArray<string>) => {
  const isAny = origins.includes("*")
  const known = new Set(origins)
  return (request: OurRequest): Readonly<Record<string, string>> => {
    if (known.size === 0) return {}
    const vary = isAny ? undefined : { vary: "Origin" }
    const origin = request.headers["origin"]
    if (origin === undefined || !(isAny || known.has(origin))) return { ...vary }
    return {
      ...vary,
      "access-control-allow-origin": isAny ? "*" : origin,
      ...(isPreflight(request)
        ? {
            "access-control-allow-methods": allowedMethods,
            "access-control-allow-headers": allowedHeaders,
            "access-control-max-age": maxAge
          }
        : { "access-control-expose-headers": exposedHeaders })
    }
  }
}

/** A browser asking beforehand. */
export const isPreflight = (request: OurRequest) =>
  request.method === "OPTIONS" && request.headers["access-control-request-method"] !== undefined

export const preflightAnswer: Answer = { status: 204, headers: {} }
