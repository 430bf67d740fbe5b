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
  /**
   * How long a call keeps its slot, in milliseconds. One that takes longer waits for somebody's lock on a balance:
   * it goes on beside, so that a balance that is held up holds up nobody else.
   */
  readonly patience: number
  /** Debits that may wait; beyond it a caller is told to come back, rather than to wait ever longer. */
  readonly waiting: number
}

const usual: Limits = { inFlight: 3, batch: 100, patience: 100, waiting: 2000 }

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

export const make = (limits: Limits = usual) =>
  Effect.gen(function* () {
    const fork = Runtime.runFork(yield* Effect.runtime<SqlClient.SqlClient>())
    const waiting: Array<Waiting> = []
    let inFlight = 0
    let isGathering = false

    const answerAlone = ({ debit, answer }: Waiting) =>
      Effect.intoDeferred(call("credits.use", UseAnswer, { ...debit }, { keyed: isKeyed(debit) }), answer)

    const answerFrom = (result: (typeof UseManyAnswer.Type)["results"][number]): Exit.Exit<UseAnswer, Failure> => {
      if (!result.ok) return Exit.fail(new Refused(result.error))
      const { ok: _ok, ...answer } = result
      return Exit.succeed(answer)
    }

    const send = (batch: ReadonlyArray<Waiting>) =>
      Effect.gen(function* () {
        const [first] = batch
        if (batch.length === 1 && first !== undefined) return void (yield* answerAlone(first))
        const since = performance.now()
        const sent = yield* call("credits.use_many", UseManyAnswer, {
          items: batch.map(({ debit }) => debit),
          caller: null, // each item names its own
          isCapped: batch.some(({ debit }) => debit.serviceKeyId !== undefined)
        }).pipe(Effect.exit)
        const isEarly = performance.now() - since < tryAgainWithin
        yield* Effect.forEach(
          batch,
          (each, index) => {
            if (Exit.isFailure(sent)) {
              return isUndone(sent.cause) || (isEarly && isKeyed(each.debit))
                ? answerAlone(each)
                : Deferred.failCause(each.answer, sent.cause)
            }
            const result = sent.value.results[index]
            return result === undefined
              ? Deferred.die(each.answer, new Error("credits.use_many answered fewer results than items"))
              : Deferred.done(each.answer, answerFrom(result))
          },
          // One that waits for its balance doesn't hold up the others; the pool bounds how many go at once.
          { concurrency: Exit.isFailure(sent) ? "unbounded" : 1, discard: true }
        )
      })

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

    const depart = () => {
      isGathering = false
      while (inFlight < limits.inFlight && waiting.length > 0) {
        inFlight += 1
        // Of nobody's request: it carries many, and none of them ends it.
        fork(Effect.uninterruptible(inSlot(send(waiting.splice(0, limits.batch)))))
      }
    }

    /** Whoever waits departs when this turn of the event loop has brought everybody that it brings. */
    const gather = () => {
      if (isGathering || inFlight >= limits.inFlight || waiting.length === 0) return
      isGathering = true
      setImmediate(depart)
    }

    const use = (debit: Debit): Effect.Effect<UseAnswer, Failure> =>
      Effect.suspend(() => {
        if (waiting.length >= limits.waiting) return Effect.fail(new Overloaded())
        const answer = Deferred.unsafeMake<UseAnswer, Failure>(FiberId.none)
        waiting.push({ debit, answer })
        gather()
        return Deferred.await(answer)
      }).pipe(Effect.uninterruptible)

    return { use }
  })

export const layer = Layer.effect(Together, make())
