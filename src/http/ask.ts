/** From a handler to its one function call and back: refusals become the errors of the contract. */
import type * as SqlClient from "@effect/sql/SqlClient"
import { Effect, Predicate, Schema } from "effect"
import {
  DailyCapReached,
  EventNotFound,
  GiftExpired,
  GiftNotActive,
  GiftNotFound,
  GiftWrongRecipient,
  IdempotencyKeyReused,
  InsufficientCredits,
  InternalError,
  InvalidRequest,
  PackageInactive,
  PackageNotFound,
  PurchaseClosed,
  PurchaseNotFound,
  RefundExceedsCharge,
  ReservationClosed,
  ReservationNotFound,
  ServiceKeyEnded,
  ServiceKeyNotFound,
  ServiceUnavailable,
  SyncAlreadyActive,
  SyncGifted,
  SyncGiftNotFound,
  SyncNotActive,
  TooManyRequests,
  TransactionNotFound
} from "../contract/errors.ts"
import { makeProblem, type ProblemKind, type ProblemOf } from "../contract/problem.ts"
import { type Arguments, call } from "../database/call.ts"
import type { Overloaded, Refused, Unavailable } from "../database/errors.ts"
import { reasonOf } from "../reason.ts"
import type { OurRequest } from "./our-request.ts"

interface Refusal {
  readonly sqlstate: string
  readonly message: string
  readonly detail: Readonly<Record<string, unknown>>
}

/** What each SQLSTATE of ours is on the wire: sql/errors.md as code. */
export const refusals: Readonly<Record<string, ProblemKind>> = {
  CR001: InvalidRequest,
  CR002: InsufficientCredits,
  CR003: IdempotencyKeyReused,
  CR004: TransactionNotFound,
  CR005: RefundExceedsCharge,
  CR006: ReservationNotFound,
  CR007: ReservationClosed,
  CR009: InternalError,
  CR101: SyncAlreadyActive,
  CR102: SyncNotActive,
  CR103: SyncGifted,
  CR104: SyncGiftNotFound,
  CR105: EventNotFound,
  CR201: GiftNotFound,
  CR202: GiftNotActive,
  CR203: GiftExpired,
  CR204: GiftWrongRecipient,
  CR205: TooManyRequests,
  CR301: PackageNotFound,
  CR302: PackageInactive,
  CR303: PurchaseNotFound,
  CR304: PurchaseClosed,
  CR305: InternalError,
  CR306: InternalError,
  CR307: InternalError,
  CR308: TooManyRequests,
  CR401: ServiceKeyNotFound,
  CR402: ServiceKeyEnded,
  CR403: DailyCapReached
}

/** What every call may answer besides what its route declares. */
export type Always = ProblemOf<typeof InvalidRequest> | ProblemOf<typeof ServiceUnavailable>

const unavailable = (detail: string) =>
  Effect.suspend(() => Effect.fail(makeProblem(ServiceUnavailable, detail, { retryAfterSeconds: 1 })))

const away = unavailable("The database can't be reached just now. Try again in a moment.")

/** So many milliseconds the log has one line of it: all requests fail then. */
const quiet = 1000
let notedAt = Number.NEGATIVE_INFINITY

/** What the caller isn't told is for the log: which of the many ways to be away it is. */
export const noteAway = ({ cause }: Unavailable) =>
  Effect.suspend(() => {
    const now = performance.now()
    if (now - notedAt < quiet) return Effect.void
    notedAt = now
    // A SQLSTATE, or the system's: ECONNREFUSED.
    const code = Predicate.hasProperty(cause, "code") ? String(cause.code) : undefined
    return Effect.logWarning("The database is away", { reason: reasonOf(cause), code })
  })
const overloaded = unavailable("Too many debits are waiting just now; this one was not made. Try again in a moment.")

/** A refusal as one of the problems that may be answered here; any other is our mistake. */
export const problemOf = <Kind extends ProblemKind>(refusal: Refusal, kinds: ReadonlyArray<Kind>) => {
  const kind = kinds.find((each) => each === refusals[refusal.sqlstate])
  return kind === undefined
    ? Effect.dieMessage(`${refusal.sqlstate} isn't among the refusals of this route: ${refusal.message}`)
    : Effect.succeed(makeProblem(kind, refusal.message, refusal.detail))
}

export interface AskOptions<Kind extends ProblemKind> {
  /** The refusals that the function may answer with, as its comment says; `invalid_request` always may. */
  readonly refusals?: ReadonlyArray<Kind>
  /** Whether a key makes the call happen once, so that it may be sent again after a lost connection. */
  readonly keyed?: boolean
}

const refuse = <Kind extends ProblemKind>(refused: Refusal, kinds: ReadonlyArray<Kind>) =>
  Effect.flatMap(problemOf(refused, kinds), Effect.fail)

/** Turns what the database refuses into problems. */
export const answered = <A, R, Kind extends ProblemKind = never>(
  asking: Effect.Effect<A, Refused | Unavailable | Overloaded, R>,
  refusalsOfRoute: ReadonlyArray<Kind> = []
): Effect.Effect<A, ProblemOf<Kind> | Always, R> =>
  Effect.catchAll(asking, (error): Effect.Effect<never, ProblemOf<Kind> | Always> => {
    if (error._tag === "Refused") return refuse(error, [InvalidRequest, ...refusalsOfRoute])
    return error._tag === "Overloaded" ? overloaded : Effect.zipRight(noteAway(error), away)
  })

/** Calls the SQL function that does what a route asks for. */
export const ask = <A, I, Kind extends ProblemKind = never>(
  name: string,
  answer: Schema.Schema<A, I>,
  args: Arguments,
  options: AskOptions<Kind> = {}
): Effect.Effect<A, ProblemOf<Kind> | Always, SqlClient.SqlClient> =>
  answered(call(name, answer, args, { keyed: options.keyed ?? false }), options.refusals)

/** The mark that SQL puts on the answer to a key it has seen before. */
export const replayed = { replayed: Schema.optional(Schema.Boolean) }

/** Takes the mark off the answer; a header says it instead. */
export const withoutMark = <A extends { readonly replayed?: boolean | undefined }>(request: OurRequest, answer: A) => {
  const { replayed: mark, ...rest } = answer
  if (mark === true) request.answerHeader("idempotency-replayed", "true")
  return rest
}
