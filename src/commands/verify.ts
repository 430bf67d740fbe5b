/** `verify`: proves the books, for people and for jobs that watch over them. */
import { Console, Data, Effect, Schema } from "effect"
import { readDatabaseUrl } from "../config.ts"
import { layer as database } from "../database/database.ts"
import { fit } from "../database/ready.ts"
import { brokenInvariants, changedSinceSeal, Digest } from "../database/verify.ts"

class Misunderstood extends Data.TaggedError("Misunderstood")<{ readonly message: string }> {}

const readSeals = (seals: ReadonlyArray<string>) =>
  Effect.mapError(
    Schema.decodeEffect(Schema.Array(Digest))(seals),
    () => new Misunderstood({ message: "A seal's digest is 64 hexadecimal digits." })
  )

/**
 * Prints each broken invariant, and each row that was rewritten since one of the seals. Succeeds with the exit code: 0
 * when there is none, or 1. Fails when it couldn't check.
 */
export const run = (digests: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const seals = yield* readSeals(digests)
    const url = yield* readDatabaseUrl
    const { broken, changed } = yield* Effect.gen(function* () {
      yield* fit
      return { broken: yield* brokenInvariants, changed: yield* Effect.forEach(seals, changedSinceSeal) }
    }).pipe(
      Effect.provide(
        database({
          url,
          role: "mana_service",
          maxConnections: 1,
          applicationName: "mana-credits verify",
          // Reads the whole ledger.
          statementTimeout: "1 hour",
          connectTimeout: "5 seconds"
        })
      )
    )
    for (const { invariant, userId, detail } of [...broken, ...changed.flat()]) {
      yield* Console.error(`${invariant}${userId === null ? "" : ` (user ${userId})`}: ${detail}`)
    }
    for (const [index, digest] of seals.entries()) {
      yield* (changed[index] ?? []).length > 0
        ? Console.error(`History before seal ${digest} was rewritten, or the seal itself was.`)
        : Console.log(`History before seal ${digest} is as it was.`)
    }
    if (broken.length > 0) {
      yield* Console.error(`The books are wrong in ${broken.length} ${broken.length === 1 ? "place" : "places"}.`)
    } else {
      yield* Console.log("The books are true.")
    }
    return broken.length + changed.flat().length > 0 ? 1 : 0
  })
