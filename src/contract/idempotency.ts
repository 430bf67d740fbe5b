/** How a request that is sent again is told from a new one. */
import { Context } from "effect"

/**
 * On an endpoint: `key`: by the idempotency key that the client may send; `always`: by what the request names (a
 * reservation, a reference, a state that is set), so that the function does it once however often it is called; `never`.
 * What is done once may be sent to the database again after a lost connection.
 */
export const Idempotency = Context.Reference<"key" | "always" | "never">("mana/Idempotency", {
  defaultValue: () => "never"
})
