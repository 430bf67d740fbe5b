/** `seal`: one digest over all history, to be kept where nobody who can write to the database can change it. */
import { Console, Effect } from "effect"
import { readDatabaseUrl } from "../config.ts"
import { layer as database } from "../database/database.ts"
import { fit } from "../database/ready.ts"
import { seal } from "../database/verify.ts"

/** Prints the digest alone, so that it can be appended to a file or sent away; what it covers goes to stderr. */
export const run = () =>
  Effect.gen(function* () {
    const url = yield* readDatabaseUrl
    const sealed = yield* Effect.andThen(fit, seal).pipe(
      Effect.provide(
        database({
          url,
          role: "mana_service",
          maxConnections: 1,
          applicationName: "mana-credits seal",
          // Reads every balance, and one ledger head each.
          statementTimeout: "1 hour",
          connectTimeout: "5 seconds"
        })
      )
    )
    yield* Console.log(sealed.digest)
    yield* Console.error(
      `Seal ${sealed.seal} of ${sealed.sealedAt.toISOString()}: ${sealed.ledgerRows} ledger rows of ${sealed.users} users.`
    )
  })
