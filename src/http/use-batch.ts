/** Many debits in one call. A malformed one is refused in its place and spoils no other. */
import { Array, Effect, Either, ParseResult, Predicate, Schema } from "effect"
import type { Service } from "../contract/auth.ts"
import { DailyCapReached, IdempotencyKeyReused, InsufficientCredits, InvalidRequest } from "../contract/errors.ts"
import { batchKeyLength, Debit, RefusedOne, UsedOne } from "../contract/internal-credits.ts"
import type { ProblemKind } from "../contract/problem.ts"
import { UseManyAnswer } from "../database/together.ts"
import { ask, problemOf } from "./ask.ts"
import { invalid, invalidBySchema } from "./invalid.ts"
import type { OurRequest } from "./our-request.ts"

type Result = typeof UsedOne.Type | typeof RefusedOne.Type

const decode = Schema.decodeUnknownEither(Debit, { errors: "all" })

type Problem = typeof RefusedOne.Type.error

const decoded = (item: unknown): Either.Either<typeof Debit.Type, Problem> =>
  Predicate.isReadonlyRecord(item)
    ? Either.mapLeft(decode(item), (error) => invalidBySchema(ParseResult.ArrayFormatter.formatErrorSync(error)))
    : Either.left(invalid({ path: "", message: "must be an object" }))

const kinds: ReadonlyArray<ProblemKind> = [InvalidRequest, InsufficientCredits, IdempotencyKeyReused, DailyCapReached]

/** The key of the whole call, and an item's place, for an item without a key of its own. */
const withKey = (item: unknown, key: string | undefined, index: number) =>
  key !== undefined && Predicate.isReadonlyRecord(item) && (item["idempotencyKey"] ?? null) === null
    ? { ...item, idempotencyKey: `${key}/${index}` }
    : item

export const useBatch = (
  request: OurRequest,
  items: ReadonlyArray<unknown>,
  key: string | undefined,
  { caller, serviceKeyId }: Service
) =>
  Effect.gen(function* () {
    // The body's is judged by then.
    if (key !== undefined && [...key].length > batchKeyLength) {
      return yield* Effect.fail(
        invalid({ path: "idempotency-key", message: `must be 1 to ${batchKeyLength} characters` })
      )
    }
    const asked = items.map((item, index) => decoded(withKey(item, key, index)))
    const debits = Array.getRights(asked)
    const { results } =
      debits.length === 0
        ? { results: [] }
        : yield* ask(
            "credits.use_many",
            UseManyAnswer,
            {
              items: serviceKeyId === undefined ? debits : debits.map((debit) => ({ ...debit, serviceKeyId })),
              caller,
              isCapped: serviceKeyId !== undefined
            },
            { keyed: debits.every((debit) => debit.idempotencyKey !== undefined) }
          )

    const answered = results.values()
    let allReplayed = debits.length > 0
    const inOrder: globalThis.Array<Result> = []
    for (const each of asked) {
      if (Either.isLeft(each)) {
        inOrder.push({ ok: false, error: each.left })
        continue
      }
      const { value } = answered.next()
      if (value === undefined) return yield* Effect.dieMessage("credits.use_many answered fewer results than items")
      if (value.ok) {
        const { replayed: mark, ...used } = value
        allReplayed &&= mark === true
        inOrder.push(used)
      } else {
        allReplayed = false
        inOrder.push({ ok: false, error: yield* problemOf(value.error, kinds) })
      }
    }
    if (allReplayed) request.answerHeader("idempotency-replayed", "true")
    return { results: inOrder }
  })
