/** Headers that a route reads. */
import { Schema } from "effect"

// Printable ASCII: what every client and proxy sends alike.
const header = (max: number, description: string) => {
  const message = `must be 1 to ${max} printable ASCII characters`
  return Schema.String.annotate({ message }).check(
    Schema.isPattern(new RegExp(`^[\\x20-\\x7e]{1,${max}}$`), {
      message,
      description,
      toJsonSchema: () => ({ minLength: 1, maxLength: max })
    })
  )
}

/** Headers of a call that moves money. */
export const keyHeaders = {
  "idempotency-key": Schema.optionalKey(header(255, "In place of the body's idempotencyKey"))
}

/** Headers of a call by a service. */
export const serviceHeaders = { "x-app-id": Schema.optionalKey(header(64, "The calling app")) }

/** Headers of a service's call that moves money. */
export const moneyHeaders = { ...keyHeaders, ...serviceHeaders }
