/** From a handler to its one function call and back: refusals become the errors of the contract. */
import type { SqlClient } from "@effect/sql"
import { Effect, Schema } from "effect"
import {
  IdempotencyKeyReused,
  InsufficientCredits,
  InternalError,
  InvalidRequest,
  RefundExceedsCharge,
  ReservationClosed,
  ReservationNotFound,
  ServiceUnavailable,
  TransactionNotFound
} from "../contract/errors.ts"
import { makeProblem, type ProblemKind, type ProblemOf } from "../contract/problem.ts"
import { type Arguments, call } from "../database/call.ts"
import type { Refused } from "../database/errors.ts"
import { answerHeader, requestState } from "./request-state.ts"

/** What each SQLSTATE of ours is on the wire: sql/errors.md as code. */
export const refusals: Readonly<Record<string, ProblemKind>> = {
  CR001: InvalidRequest,
  CR002: InsufficientCredits,
  CR003: IdempotencyKeyReused,
  CR004: TransactionNotFound,
  CR005: RefundExceedsCharge,
  CR006: ReservationNotFound,
  CR007: ReservationClosed,
  CR009: InternalError
}

/** A refusal as the problem it is on the wire; undefined for one that is nobody's business but ours. */
export const problemOfRefusal = (refused: {
  readonly sqlstate: string
  readonly message: string
  readonly detail: Readonly<Record<string, unknown>>
}) => {
  const kind = refusals[refused.sqlstate]
  return kind === undefined || kind === InternalError ? undefined : makeProblem(kind, refused.message, refused.detail)
}

/** What every call may answer besides what its route declares. */
export type Always = ProblemOf<typeof InvalidRequest> | ProblemOf<typeof ServiceUnavailable>

export const unavailable = answerHeader("retry-after", "1").pipe(
  Effect.zipRight(
    Effect.suspend(() =>
      Effect.fail(makeProblem(ServiceUnavailable, "The database can't be reached just now. Try again in a moment."))
    )
  )
)

export interface AskOptions<Kind extends ProblemKind> {
  /** The refusals that the function may answer with, as its comment says; `invalid_request` always may. */
  readonly refusals?: ReadonlyArray<Kind>
  /** Whether a key makes the call happen once, so that it may be sent again after a lost connection. */
  readonly keyed?: boolean
}

/** Calls the SQL function that does what a route asks for. */
export const ask = <A, I, Kind extends ProblemKind = never>(
  name: string,
  answer: Schema.Schema<A, I>,
  args: Arguments,
  options: AskOptions<Kind> = {}
): Effect.Effect<A, ProblemOf<Kind> | Always, SqlClient.SqlClient> => {
  const expected: ReadonlyArray<ProblemKind> = [InvalidRequest, ...(options.refusals ?? [])]
  const refuse = (refused: Refused) => {
    const kind = expected.find((each) => each === refusals[refused.sqlstate])
    // Not declared by the route: our mistake.
    return kind === undefined ? Effect.die(refused) : Effect.fail(makeProblem(kind, refused.message, refused.detail))
  }
  return Effect.flatMap(requestState, (state) => {
    state.asked = true
    return call(name, answer, args, { keyed: options.keyed ?? false })
  }).pipe(Effect.catchTags({ Refused: refuse, Unavailable: () => unavailable }))
}

/** The mark that SQL puts on the answer to a key it has seen before. */
export const replayed = { replayed: Schema.optional(Schema.Boolean) }

/** Takes the mark off the answer; a header says it instead. */
export const withoutMark = <A extends { readonly replayed?: boolean | undefined }>(answer: A) => {
  const { replayed: mark, ...rest } = answer
  return mark === true ? Effect.as(answerHeader("idempotency-replayed", "true"), rest) : Effect.succeed(rest)
}
