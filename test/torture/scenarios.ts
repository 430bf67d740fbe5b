/** Every scenario of `npm run torture`, in the order in which it runs them. */
import { crossingClients } from "./crossing/scenario.ts"
import { scenario as killPostgres } from "./kill-postgres.ts"
import { scenario as killService } from "./kill-service.ts"
import { poolErrors } from "./pool/scenario.ts"
import type { Scenario } from "./scenario.ts"

export const scenarios: ReadonlyArray<Scenario> = [killPostgres, killService, poolErrors, crossingClients]
