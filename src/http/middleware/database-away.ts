/** The database away: one line in the log, which says what the client isn't told. */
import { Effect, Predicate } from "effect"
import type { Unavailable } from "../../database/errors.ts"
import { errorMessage } from "../../lib/error-message.ts"

/** Milliseconds for which the log has one line: all requests fail then. */
const quietMs = 1000
let notedAt = Number.NEGATIVE_INFINITY

/** Which of the many ways to be away it is. */
export const noteAway = ({ cause }: Unavailable) =>
  Effect.suspend(() => {
    const now = performance.now()
    if (now - notedAt < quietMs) return Effect.void
    notedAt = now
    // A SQLSTATE, or the system's: ECONNREFUSED.
    const code = Predicate.hasProperty(cause, "code") ? String(cause.code) : undefined
    return Effect.logWarning("The database is away", { reason: errorMessage(cause), code })
  })
