/** Headers that a route reads. */
import { Schema } from "effect"
import { saying } from "./fields.ts"

// Printable ASCII: what every client and proxy sends alike.
const header = (max: number, meaning: string) =>
  Schema.String.pipe(Schema.pattern(new RegExp(`^[\\x20-\\x7e]{1,${max}}$`))).annotations({
    message: saying(`must be 1 to ${max} printable ASCII characters`),
    jsonSchema: { type: "string", minLength: 1, maxLength: max, description: meaning }
  })

/** Headers of a call that moves money. */
export const keyHeaders = {
  "idempotency-key": Schema.optional(header(255, "In place of the body's idempotencyKey"))
}

/** Headers of a call by a service. */
export const serviceHeaders = { "x-app-id": Schema.optional(header(64, "The calling app")) }
