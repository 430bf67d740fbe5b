/**
 * Debits that arrive together travel together: those of one turn of the event loop, and those that wait for a slot, go
 * in one call of credits.use_many, one transaction, each with its own outcome. With nobody else there a debit goes
 * alone, at once.
 */
import type * as SqlClient from "@effect/sql/SqlClient"
import { Cause, Context, Deferred, Effect, Exit, FiberId, Layer, Option, Predicate, Runtime, Schema } from "effect"
import { debited } from "../contract/ledger.ts"
import { call, tryAgainWithin } from "./call.ts"
import { Overloaded, Refused, Unavailable } from "./errors.ts"

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
  /** Who asks, as the ledger names it. */
  readonly caller: string
  /** The key it counts against, where that has a daily cap. */
  readonly serviceKeyId?: string | undefined
}

/** credits.use's answer; `replayed` marks one to a key seen before. */
export const UseAnswer = Schema.Struct({ ...debited, replayed: Schema.optional(Schema.Boolean) })
type UseAnswer = typeof UseAnswer.Type

const RefusedItem = Schema.Struct({
  ok: Schema.Literal(false),
  error: Schema.Struct({
    sqlstate: Schema.String,
    message: Schema.String,
    detail: Schema.Record({ key: Schema.String, value: Schema.Unknown })
  })
})

/** credits.use_many's answer. */
export const UseManyAnswer = Schema.Struct({
  results: Schema.Array(Schema.Union(Schema.Struct({ ok: Schema.Literal(true), ...UseAnswer.fields }), RefusedItem))
})

type Failure = Refused | Unavailable | Overloaded

export interface Limits {
  /** Calls at the same time: enough to keep the database busy while others wait for its disk. */
  readonly inFlight: number
  /** Debits a call. */
  readonly batch: number
  /** So many don't wait for the turn's end: PostgreSQL is at work on them while the others are still read. */
  readonly enough: number
  /**
   * How long a call keeps its slot, in milliseconds. One that takes longer waits for somebody's lock on a balance:
   * it goes on beside, so that a balance that is held up holds up nobody else.
   */
  readonly patience: number
  /** Debits that may wait; beyond it a caller is told to come back, rather than to wait ever longer. */
  readonly waiting: number
  /** The same of one user's: whoever sends thousands, or has a balance that is held up, leaves room for the others. */
  readonly waitingOfOne: number
}

const usual: Limits = { inFlight: 3, batch: 100, enough: 24, patience: 100, waiting: 2000, waitingOfOne: 1000 }

export class Together extends Context.Tag("mana/Together")<
  Together,
  { readonly use: (debit: Debit) => Effect.Effect<UseAnswer, Failure> }
>() {}

interface Waiting {
  readonly debit: Debit
  readonly answer: Deferred.Deferred<UseAnswer, Failure>
}

/** What Postgres calls an ERROR it has rolled back. A FATAL, or a socket that fell, leaves open what became of it. */
const isUndone = (cause: Cause.Cause<Refused | Unavailable>) => {
  const failure = Option.getOrUndefined(Cause.failureOption(cause))
  if (failure?._tag === "Refused") return true
  const said = failure === undefined ? Option.getOrUndefined(Cause.dieOption(cause)) : failure.cause
  return Predicate.hasProperty(said, "severity") && said.severity === "ERROR"
}

const isKeyed = ({ idempotencyKey }: Debit) => idempotencyKey !== undefined

const isUnavailable = (exit: Exit.Exit<unknown, Failure>) =>
  Exit.isFailure(exit) && Option.getOrUndefined(Cause.failureOption(exit.cause))?._tag === "Unavailable"

const usersOf = (batch: ReadonlyArray<Waiting>) => Map.groupBy(batch, ({ debit }) => debit.userId)

export const make = (limits: Limits = usual) =>
  Effect.gen(function* () {
    const fork = Runtime.runFork(yield* Effect.runtime<SqlClient.SqlClient>())
    /** Who waits, by user. */
    const room = new Map<string, Array<Waiting>>()
    /** Whose balance a call of ours is at: a second one would only wait for the first, and all that travel with it. */
    const busy = new Set<string>()
    let waiting = 0
    let inFlight = 0
    let isGathering = false

    const leave = (userIds: Iterable<string>) =>
      Effect.sync(() => {
        for (const userId of userIds) busy.delete(userId)
        gather()
      })

    const alone = (debit: Debit) => call("credits.use", UseAnswer, { ...debit }, { keyed: isKeyed(debit) })

    /** A user's debits one after the other: at once, each would wait for the same lock on a connection of its own. */
    const apart = (userId: string, ofUser: ReadonlyArray<Waiting>) =>
      Effect.gen(function* () {
        let away: Exit.Exit<UseAnswer, Failure> | undefined
        for (const { debit, answer } of ofUser) {
          const exit = away ?? (yield* Effect.exit(alone(debit)))
          // The others would find out the same, each after as long.
          if (isUnavailable(exit)) away = exit
          yield* Deferred.done(answer, exit)
        }
      }).pipe(Effect.ensuring(leave([userId])))

    const answerFrom = (result: (typeof UseManyAnswer.Type)["results"][number]): Exit.Exit<UseAnswer, Failure> => {
      if (!result.ok) return Exit.fail(new Refused(result.error))
      const { ok: _ok, ...answer } = result
      return Exit.succeed(answer)
    }

    const sendMany = (batch: ReadonlyArray<Waiting>) =>
      Effect.gen(function* () {
        const since = performance.now()
        const sent = yield* call("credits.use_many", UseManyAnswer, {
          items: batch.map(({ debit }) => debit),
          caller: null, // each item names its own
          isCapped: batch.some(({ debit }) => debit.serviceKeyId !== undefined)
        }).pipe(Effect.exit)
        if (Exit.isSuccess(sent)) {
          for (const [index, { answer }] of batch.entries()) {
            const result = sent.value.results[index]
            yield* result === undefined
              ? Deferred.die(answer, new Error("credits.use_many answered fewer results than items"))
              : Deferred.done(answer, answerFrom(result))
          }
          return yield* leave(usersOf(batch).keys())
        }
        const isEarly = performance.now() - since < tryAgainWithin
        const goesAgain = ({ debit }: Waiting) => isUndone(sent.cause) || (isEarly && isKeyed(debit))
        for (const each of batch) if (!goesAgain(each)) yield* Deferred.failCause(each.answer, sent.cause)
        // One that waits for its balance doesn't hold up the others; the pool bounds how many go at once.
        yield* Effect.forEach(usersOf(batch), ([userId, ofUser]) => apart(userId, ofUser.filter(goesAgain)), {
          concurrency: "unbounded",
          discard: true
        })
      })

    const send = (batch: ReadonlyArray<Waiting>) => {
      const [first] = batch
      return first !== undefined && batch.length === 1 ? apart(first.debit.userId, batch) : sendMany(batch)
    }

    /** Runs a call in a slot that was taken for it, and gives the slot back once: when it ends or has taken too long. */
    const inSlot = <R>(effect: Effect.Effect<void, never, R>) =>
      Effect.suspend(() => {
        let isHeld = true
        const release = () => {
          if (!isHeld) return
          isHeld = false
          inFlight -= 1
          gather()
        }
        const timer = setTimeout(release, limits.patience)
        return Effect.ensuring(
          effect,
          Effect.sync(() => {
            clearTimeout(timer)
            release()
          })
        )
      })

    /** The next to go, in the order of the users' coming. */
    const take = () => {
      const batch: Array<Waiting> = []
      for (const [userId, ofUser] of room) {
        if (batch.length === limits.batch) break
        if (busy.has(userId)) continue
        busy.add(userId)
        batch.push(...ofUser.splice(0, limits.batch - batch.length))
        if (ofUser.length === 0) room.delete(userId)
      }
      waiting -= batch.length
      return batch
    }

    const depart = () => {
      isGathering = false
      while (inFlight < limits.inFlight) {
        const batch = take()
        if (batch.length === 0) return
        inFlight += 1
        // Of nobody's request: it carries many, and none of them ends it.
        fork(Effect.uninterruptible(inSlot(send(batch))))
      }
    }

    /** Whoever waits departs when this turn of the event loop has brought everybody that it brings. */
    const gather = () => {
      if (isGathering || inFlight >= limits.inFlight || waiting === 0) return
      isGathering = true
      setImmediate(depart)
    }

    const use = (debit: Debit): Effect.Effect<UseAnswer, Failure> =>
      Effect.suspend(() => {
        const ofUser = room.get(debit.userId) ?? []
        if (waiting >= limits.waiting || ofUser.length >= limits.waitingOfOne) return Effect.fail(new Overloaded())
        const answer = Deferred.unsafeMake<UseAnswer, Failure>(FiberId.none)
        ofUser.push({ debit, answer })
        room.set(debit.userId, ofUser)
        waiting += 1
        if (waiting >= limits.enough && inFlight < limits.inFlight) depart()
        else gather()
        return Deferred.await(answer)
      }).pipe(Effect.uninterruptible)

    return { use }
  })

export const layer = Layer.effect(Together, make())
