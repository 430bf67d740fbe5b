/** Internal credits: for any user, asked by a service. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { Effect, Schema } from "effect"
import { Api } from "../contract/api.ts"
import { CurrentService } from "../contract/auth.ts"
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

export const internalCredits = HttpApiBuilder.group(Api, "internalCredits", (handlers) =>
  handlers
    .handle("balance", ({ path, urlParams }) =>
      ask("credits.balance", Balance, {
        userId: path.userId,
        at: urlParams.at === undefined ? undefined : endOfMillisecond(urlParams.at)
      })
    )
    .handle(
      "use",
      ({ payload, headers }) =>
        Effect.gen(function* () {
          const idempotencyKey = yield* keyOf(payload, headers)
          const { caller, serviceKeyId } = yield* CurrentService
          const { use } = yield* Together
          const answer = yield* answered(
            use({ ...payload, amount: payload.amount ?? null, idempotencyKey, caller, serviceKeyId }),
            [InsufficientCredits, IdempotencyKeyReused, DailyCapReached]
          )
          return success(yield* withoutMark(answer))
        }),
      { uninterruptible: true }
    )
    .handle(
      "useBatch",
      ({ payload, headers }) =>
        Effect.flatMap(CurrentService, (service) => useBatch(payload.items, headers["idempotency-key"], service)),
      { uninterruptible: true }
    )
    .handle(
      "refund",
      ({ payload, headers }) =>
        Effect.gen(function* () {
          const idempotencyKey = yield* keyOf(payload, headers)
          const { caller, appId } = yield* CurrentService
          const answer = yield* ask(
            "credits.refund",
            RefundAnswer,
            { ...payload, appId: payload.appId ?? appId, idempotencyKey, caller },
            {
              refusals: [TransactionNotFound, IdempotencyKeyReused, RefundExceedsCharge],
              keyed: idempotencyKey !== undefined
            }
          )
          return success(yield* withoutMark(answer))
        }),
      { uninterruptible: true }
    )
    .handle(
      "grant",
      ({ payload }) =>
        CurrentService.pipe(
          // The reference is the key.
          Effect.flatMap(({ caller }) => ask("credits.grant", GrantAnswer, { ...payload, caller }, { keyed: true })),
          Effect.map((answer) => ({ ok: true as const, ...answer }))
        ),
      { uninterruptible: true }
    )
    .handle("init", ({ payload }) => ask("credits.init", Balance, payload, { keyed: true }), {
      uninterruptible: true
    })
    .handle(
      "reserve",
      ({ payload, headers }) =>
        Effect.gen(function* () {
          const idempotencyKey = yield* keyOf(payload, headers)
          const { caller, appId, serviceKeyId } = yield* CurrentService
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
          return yield* withoutMark(answer)
        }),
      { uninterruptible: true }
    )
    .handle(
      "commit",
      ({ payload }) =>
        CurrentService.pipe(
          // The reservation is the key: committed once, it answers the same again.
          Effect.flatMap(({ caller, onlyOf }) =>
            ask(
              "credits.commit",
              CommitAnswer,
              { ...payload, caller, onlyOf },
              { refusals: [ReservationNotFound, ReservationClosed], keyed: true }
            )
          ),
          Effect.flatMap(withoutMark),
          Effect.map(success)
        ),
      { uninterruptible: true }
    )
    .handle(
      "refundReservation",
      ({ payload }) =>
        CurrentService.pipe(
          Effect.flatMap(({ onlyOf }) =>
            ask(
              "credits.release",
              ReleaseAnswer,
              { ...payload, onlyOf },
              { refusals: [ReservationNotFound, ReservationClosed], keyed: true }
            )
          ),
          Effect.flatMap(withoutMark),
          Effect.map(success)
        ),
      { uninterruptible: true }
    )
)
