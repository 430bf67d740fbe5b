/** Every scenario of `npm run torture`, in the order in which it runs them. */
import type { Scenario } from "./scenario.ts"

export const scenarios: ReadonlyArray<Scenario> = []
