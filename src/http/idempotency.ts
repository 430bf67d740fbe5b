/** The key that makes a call happen once: in the body or in a header. */
import { Effect } from "effect"
import { invalid } from "./invalid.ts"
import type { OurRequest } from "./our-request.ts"

const wrong = (message: string) => Effect.fail(invalid({ path: "idempotency-key", message }))

export const keyOf = (
  request: OurRequest,
  payload: { readonly idempotencyKey?: string | undefined },
  headers: { readonly "idempotency-key"?: string | undefined }
) => {
  const inBody = payload.idempotencyKey
  const inHeader = headers["idempotency-key"]
  if (inHeader !== undefined && request.isRepeated("idempotency-key")) return wrong("must be sent once")
  if (inBody !== undefined && inHeader !== undefined && inBody !== inHeader) {
    return wrong("must be the same as the body's idempotencyKey")
  }
  return Effect.succeed(inBody ?? inHeader)
}
