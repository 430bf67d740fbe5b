/** Every scenario of `npm run torture`, in the order in which it runs them. */
import { scenario as backup } from "./backup.ts"
import { crossingClients } from "./crossing/scenario.ts"
import { scenario as cutConnections } from "./cut-connections.ts"
import { scenario as exhaustPool } from "./exhaust-pool.ts"
import { scenario as freezePostgres } from "./freeze-postgres.ts"
import { scenario as fullDisk } from "./full-disk.ts"
import { scenario as deploy } from "./deploy.ts"
import { scenario as killPostgres } from "./kill-postgres.ts"
import { scenario as killService } from "./kill-service.ts"
import { poolErrors } from "./pool/scenario.ts"
import type { Scenario } from "./scenario.ts"
import { scenario as wrongClock } from "./wrong-clock.ts"

export const scenarios: ReadonlyArray<Scenario> = [
  killPostgres,
  killService,
  freezePostgres,
  cutConnections,
  exhaustPool,
  fullDisk,
  wrongClock,
  poolErrors,
  crossingClients,
  backup,
  deploy
]
