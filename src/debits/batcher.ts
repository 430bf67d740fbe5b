/**
 * Debits of many requests in one call: those of one turn of the event loop, and those that wait for a call to end, go
 * together to credits.use_many, one transaction, each with its own outcome. A debit that is alone goes to credits.use,
 * at once.
 *
 * It is a queue of its own and no RequestResolver of Effect's: that one has a batch per key and a time to wait, and
 * runs each batch when it is full or its time is over. Which debits travel together is decided here only when a call
 * may start (no user twice at the same time, the longest-waiting users first, a bounded number of calls), the queue has
 * bounds in all and per user, and a batch that failed is taken apart: all of that would be a queue within runAll().
 *
 * Every debit of the service comes through here, thousands a second at times: a debit costs one callback, and a fiber is
 * started per call. Answers aren't decoded: the schema of the HTTP endpoint checks them.
 */
import { Cause, Context, Effect, Exit, Layer, Predicate } from "effect"
import type { SqlClient } from "effect/sql"
import type { Debited } from "../contract/ledger.ts"
import { callUndecoded, keyedRetryWindowMs } from "../database/call.ts"
import { Overloaded, Refused, Unavailable } from "../database/errors.ts"

/** A debit as credits.use takes it. */
export interface Debit {
  readonly userId: string
  /** Null where an operation stands in for it. */
  readonly amount: number | null
  readonly appId: string
  readonly description: string
  readonly idempotencyKey?: string | undefined
  readonly metadata?: object | undefined
  readonly operation?: string | undefined
  readonly quantity?: number | undefined
  /** The caller, as the ledger names it. */
  readonly caller: string
  /** The service key whose daily cap it counts against. */
  readonly serviceKeyId?: string | undefined
}

/** The answer of credits.use; `replayed` marks one to a key seen before. */
export type DebitAnswer = Omit<typeof Debited.Type, "success"> & { readonly replayed?: boolean }

/** The answer of credits.use_many: an outcome per item, in their order. */
export interface UseManyAnswer {
  readonly results: ReadonlyArray<
    | ({ readonly ok: true } & DebitAnswer)
    | { readonly ok: false; readonly error: Pick<Refused, "sqlstate" | "message" | "detail"> }
  >
}

type Failure = Refused | Unavailable | Overloaded
type Outcome = Exit.Exit<DebitAnswer, Failure>

export interface Limits {
  /** Enough to keep the database busy while others wait for its disk. */
  readonly maxCallsInFlight: number
  readonly maxBatchItems: number
  /** So many waiting debits don't wait for the turn's end: PostgreSQL works on them while further ones are read. */
  readonly eagerBatchItems: number
  /**
   * How long a call counts as in flight. A longer one waits for a lock on a balance: it goes on beside the others, so
   * that a balance that is held holds up nobody else.
   */
  readonly slotTimeoutMs: number
  /** Debits that may wait; beyond it a caller is told to come back, rather than to wait ever longer. */
  readonly maxWaiting: number
  /** The same of one user's: a user who sends thousands, or whose balance is held, leaves room for the others. */
  readonly maxWaitingPerUser: number
}

export const defaultLimits: Limits = {
  maxCallsInFlight: 3,
  maxBatchItems: 100,
  eagerBatchItems: 24,
  slotTimeoutMs: 100,
  maxWaiting: 2000,
  maxWaitingPerUser: 1000
}

export class DebitBatcher extends Context.Service<
  DebitBatcher,
  { readonly use: (debit: Debit) => Effect.Effect<DebitAnswer, Failure> }
>()("mana/DebitBatcher") {}

interface Waiting {
  readonly debit: Debit
  /** Answers the debit's request; a second time changes nothing. */
  readonly answer: (outcome: Outcome) => void
}

type Batch = ReadonlyArray<Waiting>

/** PostgreSQL's severity for a statement it rolled back. After a FATAL or a lost connection the outcome is unknown. */
const isUndone = (cause: Cause.Cause<Refused | Unavailable>) => {
  const failure = Cause.squash(cause)
  if (failure instanceof Refused) return true
  const said = failure instanceof Unavailable ? failure.cause : failure
  return Predicate.hasProperty(said, "severityUnlocalized") && said.severityUnlocalized === "ERROR"
}

const isUnavailable = (outcome: Outcome) =>
  Exit.isFailure(outcome) && Cause.squash(outcome.cause) instanceof Unavailable

const isKeyed = ({ idempotencyKey }: Debit) => idempotencyKey !== undefined

const outcomeOf = (result: UseManyAnswer["results"][number] | undefined): Outcome => {
  if (result === undefined) return Exit.die(new Error("credits.use_many answered fewer results than items"))
  if (!result.ok) return Exit.fail(new Refused(result.error))
  const { ok: _ok, ...answer } = result
  return Exit.succeed(answer)
}

export const make = Effect.fnUntraced(function* (limits: Limits = defaultLimits) {
  const fork = Effect.runForkWith(yield* Effect.context<SqlClient.SqlClient>())
  /** The debits that wait, by user, the longest-waiting user first. */
  const queue = new Map<string, Array<Waiting>>()
  /** Users and the batch that is at their balance: a second one would only wait for the first, with all its debits. */
  const busyUsers = new Map<string, Batch>()
  let waiting = 0
  let callsInFlight = 0
  let isGathering = false

  const free = (userId: string, batch: Batch) => {
    if (busyUsers.get(userId) === batch) busyUsers.delete(userId)
  }

  const sendOne = (debit: Debit) => callUndecoded<DebitAnswer>("credits.use", { ...debit }, { keyed: isKeyed(debit) })

  /** A user's debits one after the other: at once, each would wait for the same lock on a connection of its own. */
  const sendInTurn = Effect.fnUntraced(function* (ofUser: Batch) {
    let away: Outcome | undefined
    for (const { debit, answer } of ofUser) {
      const outcome = away ?? (yield* Effect.exit(sendOne(debit)))
      // The others would find out the same, each after as long.
      if (isUnavailable(outcome)) away = outcome
      answer(outcome)
    }
  })

  const sendTogether = Effect.fnUntraced(function* (batch: Batch, end: () => void) {
    const since = performance.now()
    const sent = yield* Effect.exit(
      callUndecoded<UseManyAnswer>("credits.use_many", {
        items: batch.map(({ debit }) => debit),
        caller: null, // each item names its own
        isCapped: batch.some(({ debit }) => debit.serviceKeyId !== undefined)
      })
    )
    if (Exit.isSuccess(sent)) {
      // First, as an answer runs its request to the end: PostgreSQL has the next batch meanwhile.
      end()
      const { results } = sent.value
      for (const [index, { answer }] of batch.entries()) answer(outcomeOf(results[index]))
      return
    }
    const isEarly = performance.now() - since < keyedRetryWindowMs
    const isUndoneWhole = isUndone(sent.cause)
    const goesAgain = ({ debit }: Waiting) => isUndoneWhole || (isEarly && isKeyed(debit))
    for (const each of batch) if (!goesAgain(each)) each.answer(Exit.failCause(sent.cause))
    // A debit that waits for its balance doesn't hold up the others; the pool bounds how many go at once.
    yield* Effect.forEach(
      Map.groupBy(batch, ({ debit }) => debit.userId),
      ([userId, ofUser]) =>
        Effect.map(sendInTurn(ofUser.filter(goesAgain)), () => {
          free(userId, batch)
          proceed()
        }),
      { concurrency: "unbounded", discard: true }
    )
  })

  /** Counts a call as in flight until it ends or has taken too long: what this returns ends it, once. */
  const takeSlot = () => {
    callsInFlight += 1
    let isHeld = true
    const release = () => {
      clearTimeout(timer)
      if (isHeld) callsInFlight -= 1
      isHeld = false
      proceed()
    }
    const timer = setTimeout(release, limits.slotTimeoutMs)
    return release
  }

  /** Takes the next debits off the queue and marks their users as busy. */
  const takeBatch = () => {
    const batch: Array<Waiting> = []
    for (const [userId, ofUser] of queue) {
      if (batch.length === limits.maxBatchItems) break
      if (busyUsers.has(userId)) continue
      busyUsers.set(userId, batch)
      batch.push(...ofUser.splice(0, limits.maxBatchItems - batch.length))
      if (ofUser.length === 0) queue.delete(userId)
    }
    waiting -= batch.length
    return batch
  }

  const depart = () => {
    isGathering = false
    while (callsInFlight < limits.maxCallsInFlight) {
      const batch = takeBatch()
      if (batch.length === 0) return
      const releaseSlot = takeSlot()
      const end = () => {
        for (const { debit } of batch) free(debit.userId, batch)
        releaseSlot()
      }
      const sent = batch.length === 1 ? sendInTurn(batch) : sendTogether(batch, end)
      const ended = Effect.onExit(sent, (exit) =>
        Effect.sync(() => {
          // A defect of ours: the debits without an answer have this one.
          if (Exit.isFailure(exit)) for (const { answer } of batch) answer(Exit.failCause(exit.cause))
          end()
        })
      )
      // Of no single request: it carries many, and none of them ends it.
      fork(Effect.uninterruptible(ended))
    }
  }

  /** Few debits depart when this turn of the event loop has brought all that it brings, many at once. */
  const proceed = () => {
    if (waiting === 0 || callsInFlight >= limits.maxCallsInFlight) return
    if (waiting >= limits.eagerBatchItems) return depart()
    if (isGathering) return
    isGathering = true
    setImmediate(depart)
  }

  const use = (debit: Debit) =>
    Effect.uninterruptible(
      Effect.callback<DebitAnswer, Failure>((answer) => {
        const ofUser = queue.get(debit.userId) ?? []
        if (waiting >= limits.maxWaiting || ofUser.length >= limits.maxWaitingPerUser) {
          return answer(Exit.fail(new Overloaded()))
        }
        ofUser.push({ debit, answer })
        queue.set(debit.userId, ofUser)
        waiting += 1
        proceed()
      })
    )

  return { use }
})

export const layer = Layer.effect(DebitBatcher, make())
