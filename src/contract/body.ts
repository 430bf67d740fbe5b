/** How large the body of a request may be. */
import { Context } from "effect"

/** On an endpoint, in bytes; 64 KiB where it says nothing. */
export class MaxBodyBytes extends Context.Reference<MaxBodyBytes>()("mana/MaxBodyBytes", {
  defaultValue: () => 64 * 1024
}) {}

/** For the few routes that take many things at once, or what isn't ours to bound. */
export const largeBodyBytes = 1024 * 1024
