/** The service's pool on a test's database, and what runs on it. */
import { Effect, Exit, Layer, Redacted, Scope } from "effect"
import * as Database from "../../src/database/database.ts"
import type { TestDatabase } from "./database.ts"
import { whenOver } from "./over.ts"

/** A SQL client that acts as mana_service until the file's tests are over, as the service has it unless said otherwise. */
export const servicePool = async (
  db: TestDatabase,
  options: Pick<Database.DatabaseOptions, "applicationName"> & Partial<Database.DatabaseOptions>
) => {
  const scope = Scope.makeUnsafe()
  whenOver(() => Effect.runPromise(Scope.close(scope, Exit.void)))
  const pool = Database.layer({
    url: Redacted.make(db.urlAs("mana_service")),
    role: "mana_service",
    maxConnections: 10,
    statementTimeout: "10 seconds",
    connectTimeout: "5 seconds",
    ...options
  })
  return Effect.runPromise(Layer.buildWithScope(pool, scope))
}
