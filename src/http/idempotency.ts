/** The key that makes a call happen once: in the body or in a header. */
import { Effect } from "effect"
import { invalid } from "./invalid.ts"

export const keyOf = (
  payload: { readonly idempotencyKey?: string | undefined },
  headers: { readonly "idempotency-key"?: string | undefined }
) => {
  const inBody = payload.idempotencyKey
  const inHeader = headers["idempotency-key"]
  return inBody !== undefined && inHeader !== undefined && inBody !== inHeader
    ? Effect.fail(invalid({ path: "idempotency-key", message: "must be the same as the body's idempotencyKey" }))
    : Effect.succeed(inBody ?? inHeader)
}
