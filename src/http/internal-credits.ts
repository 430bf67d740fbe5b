/** Internal credits: for any user, asked by a service. */
import { Effect, Schema } from "effect"
import {
  DailyCapReached,
  IdempotencyKeyReused,
  InsufficientCredits,
  RefundExceedsCharge,
  ReservationClosed,
  ReservationNotFound,
  TransactionNotFound
} from "../contract/errors.ts"
import { uuid, wireTime } from "../contract/fields.ts"
import { Balance, spendable, Transaction } from "../contract/ledger.ts"
import { Together } from "../database/together.ts"
import { answered, ask, replayed, withoutMark } from "./ask.ts"
import { keyOf } from "./idempotency.ts"
import { useBatch } from "./use-batch.ts"
import { internalCredits as contract } from "../contract/internal-credits.ts"
import { service } from "./callers.ts"
import { endpointsOf, route } from "./route.ts"

const RefundAnswer = Schema.Struct({
  transaction: Transaction,
  newBalance: Schema.Struct({ balance: spendable }),
  ...replayed
})
const GrantAnswer = Schema.Struct({ alreadyGranted: Schema.Boolean, newBalance: spendable, transactionId: uuid })
const ReserveAnswer = Schema.Struct({ reservationId: uuid, balance: spendable, expiresAt: wireTime, ...replayed })
const CommitAnswer = Schema.Struct({ transactionId: uuid, balance: spendable, ...replayed })
const ReleaseAnswer = Schema.Struct({ balance: spendable, ...replayed })

/** Wire times are cut to the millisecond: the balance at one of them has seen all that happened within it. */
const endOfMillisecond = (time: string) => time.replace("Z", "999Z")

const success = <A extends object>(answer: A) => ({ success: true as const, ...answer })

const to = endpointsOf(contract)

export const internalCredits = [
  route(to("balance"), service, ({ path, urlParams }) =>
    ask("credits.balance", Balance, {
      userId: path.userId,
      at: urlParams.at === undefined ? undefined : endOfMillisecond(urlParams.at)
    })
  ),
  route(to("use"), service, ({ payload, headers, caller: { caller, serviceKeyId }, request }) =>
    Effect.gen(function* () {
      const idempotencyKey = yield* keyOf(request, payload, headers)
      const { use } = yield* Together
      const answer = yield* answered(
        use({ ...payload, amount: payload.amount ?? null, idempotencyKey, caller, serviceKeyId }),
        [InsufficientCredits, IdempotencyKeyReused, DailyCapReached]
      )
      return success(withoutMark(request, answer))
    })
  ),
  route(to("useBatch"), service, ({ payload, headers, caller, request }) =>
    Effect.flatMap(keyOf(request, payload, headers), (key) => useBatch(request, payload.items, key, caller))
  ),
  route(to("refund"), service, ({ payload, headers, caller: { caller, appId }, request }) =>
    Effect.gen(function* () {
      const idempotencyKey = yield* keyOf(request, payload, headers)
      const answer = yield* ask(
        "credits.refund",
        RefundAnswer,
        { ...payload, appId: payload.appId ?? appId, idempotencyKey, caller },
        {
          refusals: [TransactionNotFound, IdempotencyKeyReused, RefundExceedsCharge],
          keyed: idempotencyKey !== undefined
        }
      )
      return success(withoutMark(request, answer))
    })
  ),
  route(to("grant"), service, ({ payload, caller: { caller } }) =>
    // The reference is the key.
    Effect.map(ask("credits.grant", GrantAnswer, { ...payload, caller }, { keyed: true }), (answer) => ({
      ok: true as const,
      ...answer
    }))
  ),
  route(to("init"), service, ({ payload }) => ask("credits.init", Balance, payload, { keyed: true })),
  route(to("reserve"), service, ({ payload, headers, caller: { caller, appId, serviceKeyId }, request }) =>
    Effect.gen(function* () {
      const idempotencyKey = yield* keyOf(request, payload, headers)
      const answer = yield* ask(
        "credits.reserve",
        ReserveAnswer,
        {
          ...payload,
          amount: payload.amount ?? null,
          appId,
          idempotencyKey,
          caller,
          serviceKeyId
        },
        {
          refusals: [InsufficientCredits, IdempotencyKeyReused, DailyCapReached],
          keyed: idempotencyKey !== undefined
        }
      )
      return withoutMark(request, answer)
    })
  ),
  route(to("commit"), service, ({ payload, caller: { caller, onlyOf }, request }) =>
    // The reservation is the key: committed once, it answers the same again.
    ask(
      "credits.commit",
      CommitAnswer,
      { ...payload, caller, onlyOf },
      { refusals: [ReservationNotFound, ReservationClosed], keyed: true }
    ).pipe(Effect.map((answer) => success(withoutMark(request, answer))))
  ),
  route(to("refundReservation"), service, ({ payload, caller: { onlyOf }, request }) =>
    ask(
      "credits.release",
      ReleaseAnswer,
      { ...payload, onlyOf },
      { refusals: [ReservationNotFound, ReservationClosed], keyed: true }
    ).pipe(Effect.map((answer) => success(withoutMark(request, answer))))
  )
]
