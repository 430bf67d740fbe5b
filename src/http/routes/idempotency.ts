/** The key that makes a call happen once: in the body or in a header. */
import { Effect, Predicate } from "effect"
import type { HttpServerRequest } from "effect/http"
import { isRepeated } from "../middleware/request-headers.ts"
import { invalid } from "../middleware/invalid.ts"

const wrong = (message: string) => Effect.fail(invalid({ path: "idempotency-key", message }))

const textOf = (part: unknown, name: string) =>
  Predicate.hasProperty(part, name) && typeof part[name] === "string" ? part[name] : undefined

export interface Asked {
  readonly request: HttpServerRequest.HttpServerRequest
  readonly payload?: unknown
  readonly headers?: unknown
}

/** The key of a request, if it has one. */
export const keyOf = ({ request, payload, headers }: Asked) => {
  const inBody = textOf(payload, "idempotencyKey")
  const inHeader = textOf(headers, "idempotency-key")
  if (inHeader !== undefined && isRepeated(request, "idempotency-key")) return wrong("must be sent once")
  if (inBody !== undefined && inHeader !== undefined && inBody !== inHeader) {
    return wrong("must be the same as the body's idempotencyKey")
  }
  return Effect.succeed(inBody ?? inHeader)
}
