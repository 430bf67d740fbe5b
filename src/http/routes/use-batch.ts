/** Many debits in one call. A malformed one is refused in its place and spoils no other. */
import { Effect, Predicate, Result, Schema } from "effect"
import type { HttpApiEndpoint } from "effect/http-api"
import type { Service } from "../../contract/auth.ts"
import { batchKeyLength, Debit, itemProblems, UsedOne, type RefusedOne } from "../../contract/internal-credits.ts"
import { callUndecoded } from "../../database/call.ts"
import type { UseManyAnswer } from "../../debits/batcher.ts"
import { invalid, invalidBySchema } from "../middleware/invalid.ts"
import { RequestState } from "../middleware/request-state.ts"
import { answered, type Asked, problemOf } from "./ask.ts"
import { keyOf } from "./idempotency.ts"

type ItemResult = typeof UsedOne.Type | typeof RefusedOne.Type
type ItemProblem = typeof RefusedOne.Type.error

const decode = Schema.decodeUnknownResult(Debit, { errors: "all" })

const decoded = (item: unknown): Result.Result<typeof Debit.Type, ItemProblem> =>
  Predicate.isReadonlyObject(item)
    ? Result.mapError(decode(item), ({ issue }) => invalidBySchema(issue))
    : Result.fail(invalid({ path: "", message: "must be an object" }))

const isItemProblem = (problem: unknown): problem is ItemProblem => itemProblems.some((kind) => problem instanceof kind)

/** The key of the whole call, and an item's place, for an item without a key of its own. */
const withKey = (item: unknown, key: string | undefined, index: number) =>
  key !== undefined && Predicate.isReadonlyObject(item) && (item["idempotencyKey"] ?? null) === null
    ? { ...item, idempotencyKey: `${key}/${index}` }
    : item

/** The header may be longer than a batch's key; the body's is bounded by its schema. */
const batchKeyOf = (asked: Parameters<typeof keyOf>[0]) =>
  Effect.filterOrFail(
    keyOf(asked),
    (key) => key === undefined || [...key].length <= batchKeyLength,
    () => invalid({ path: "idempotency-key", message: `must be 1 to ${batchKeyLength} characters` })
  )

export const useBatch = Effect.fnUntraced(function* <Endpoint extends HttpApiEndpoint.Top>(
  asked: Asked<Endpoint>,
  items: ReadonlyArray<unknown>,
  { caller, serviceKeyId }: Service
) {
  const key = yield* batchKeyOf(asked)
  const requests = items.map((item, index) => decoded(withKey(item, key, index)))
  const debits = requests.filter(Result.isSuccess).map(({ success }) => success)
  const use = callUndecoded<UseManyAnswer>(
    "credits.use_many",
    {
      items: serviceKeyId === undefined ? debits : debits.map((debit) => ({ ...debit, serviceKeyId })),
      caller,
      isCapped: serviceKeyId !== undefined
    },
    { keyed: debits.every(({ idempotencyKey }) => idempotencyKey !== undefined) }
  )
  const { results } = debits.length === 0 ? { results: [] } : yield* answered(asked.endpoint, use)

  const answers = results.values()
  let allReplayed = debits.length > 0
  const inOrder: Array<ItemResult> = []
  for (const request of requests) {
    if (Result.isFailure(request)) {
      inOrder.push({ ok: false, error: request.failure })
      continue
    }
    const { value } = answers.next()
    if (value === undefined) return yield* Effect.die(new Error("credits.use_many answered fewer results than items"))
    if (value.ok) {
      allReplayed &&= value.replayed === true
      inOrder.push(value)
    } else {
      allReplayed = false
      const error = problemOf(value.error)
      if (!isItemProblem(error))
        return yield* Effect.die(new Error(`${value.error.sqlstate} isn't a refusal of a debit`))
      inOrder.push({ ok: false, error })
    }
  }
  if (allReplayed) (yield* RequestState).isReplay = true
  return { results: inOrder }
})
