/** What the queue can be asked for. Each task is one function of the database; what it does is told there. */
import { Effect, Schema } from "effect"
import { ChargeRun } from "../contract/internal-sync.ts"
import { call } from "../database/call.ts"
import { inRounds, roundLimit } from "../database/charge-run.ts"
import { brokenInvariants, seal } from "../database/verify.ts"
import { reconcile } from "../stripe/reconcile.ts"
import { deliverEvents } from "./deliver-events.ts"

const Expired = Schema.Struct({ expired: Schema.Natural })

// A run ends though more is left after this many rounds; the next one goes on.
const maxRounds = 100

/** Calls a function that expires a batch, the oldest first, until it finds nothing more. */
const expireAll = Effect.fnUntraced(function* (name: string) {
  for (let round = 0; round < maxRounds; round += 1) {
    const { expired } = yield* call(name, Expired, {}, { keyed: true })
    if (expired === 0) return
  }
})

/** Frees the holds whose time is over: 1000 a round. */
const expireReservations = expireAll("credits.expire_reservations")

/** Returns the credits of gifts that nobody took: 500 a round. */
const expireGifts = expireAll("gifts.expire")

// A million periods a run; the next one goes on.
const maxChargeRounds = 1000

/**
 * Charges the Cloud Sync that is due now. Not at the time the job was meant for: what is owed follows from each
 * subscription's dates, and the ledger says when it was really charged.
 */
const chargeSync = Effect.gen(function* () {
  const done = yield* inRounds(
    call("sync.charge_due", ChargeRun, { limit: roundLimit }, { keyed: true }),
    maxChargeRounds
  )
  const log = done.errors > 0 ? Effect.logWarning : done.total > 0 ? Effect.logInfo : Effect.logDebug
  yield* log("Charged sync").pipe(Effect.annotateLogs(done))
})

// Of broken invariants logged one by one; the rest is a number.
const maxLogged = 100

/** Proves the books, and says loudly what isn't true. */
const verifyBooks = Effect.gen(function* () {
  const broken = yield* brokenInvariants
  for (const { invariant, userId, detail } of broken.slice(0, maxLogged)) {
    yield* Effect.logError("The books are wrong").pipe(Effect.annotateLogs({ invariant, userId, detail }))
  }
  if (broken.length > maxLogged) {
    yield* Effect.logError(`The books are wrong in ${broken.length - maxLogged} more places: run verify`)
  }
})

/** Seals history. The log is where the digest goes: it is kept elsewhere than the database. */
const sealBooks = Effect.flatMap(seal, ({ digest, ...facts }) =>
  Effect.logInfo("Sealed history").pipe(
    Effect.annotateLogs({ digest, ...facts, sealedAt: facts.sealedAt.toISOString() })
  )
)

const Retried = Schema.Struct({ applied: Schema.Natural, kept: Schema.Natural })

const retryLimit = 100

/** Tries Stripe's events again that couldn't be applied when they came: 100 a round, each once. */
const retryEvents = Effect.gen(function* () {
  for (let round = 0; round < maxRounds; round += 1) {
    const { applied, kept } = yield* call("stripe.retry_events", Retried, { limit: retryLimit }, { keyed: true })
    if (applied + kept < retryLimit) return
  }
})

export const tasks = {
  charge_sync: () => chargeSync,
  deliver_events: () => deliverEvents,
  expire_gifts: () => expireGifts,
  expire_reservations: () => expireReservations,
  reconcile_payments: () => reconcile,
  retry_stripe_events: () => retryEvents,
  seal_books: () => sealBooks,
  verify_books: () => verifyBooks
}

/** What the tasks need to run. */
export type TaskServices = Effect.Services<ReturnType<(typeof tasks)[keyof typeof tasks]>>
export type Task = () => Effect.Effect<unknown, unknown, TaskServices>
