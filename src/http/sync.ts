/** Sync billing: for the person whom the token names. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { Effect, Schema } from "effect"
import { Api } from "../contract/api.ts"
import { CurrentUser } from "../contract/auth.ts"
import {
  IdempotencyKeyReused,
  InsufficientCredits,
  SyncAlreadyActive,
  SyncGifted,
  SyncNotActive
} from "../contract/errors.ts"
import { activated, changed, deactivated, SyncStatus } from "../contract/sync.ts"
import { ask, replayed, withoutMark } from "./ask.ts"
import { keyOf } from "./idempotency.ts"

const ActivateAnswer = Schema.Struct({ ...activated, ...replayed })
const DeactivateAnswer = Schema.Struct(deactivated)
const ChangeAnswer = Schema.Struct(changed)

const success = <A extends object>(answer: A) => ({ success: true as const, ...answer })

export const sync = HttpApiBuilder.group(Api, "sync", (handlers) =>
  handlers
    .handle("status", () => Effect.flatMap(CurrentUser, ({ userId }) => ask("sync.status", SyncStatus, { userId })))
    .handle(
      "activate",
      ({ payload, headers }) =>
        Effect.gen(function* () {
          const { userId } = yield* CurrentUser
          const idempotencyKey = yield* keyOf(payload, headers)
          const answer = yield* ask(
            "sync.activate",
            ActivateAnswer,
            { ...payload, userId, idempotencyKey, caller: "user" },
            {
              refusals: [InsufficientCredits, IdempotencyKeyReused, SyncAlreadyActive, SyncGifted],
              keyed: idempotencyKey !== undefined
            }
          )
          return success(yield* withoutMark(answer))
        }),
      { uninterruptible: true }
    )
    .handle(
      "deactivate",
      () =>
        Effect.gen(function* () {
          const { userId } = yield* CurrentUser
          return success(
            yield* ask("sync.deactivate", DeactivateAnswer, { userId }, { refusals: [SyncNotActive, SyncGifted] })
          )
        }),
      { uninterruptible: true }
    )
    .handle(
      "changeInterval",
      ({ payload }) =>
        Effect.gen(function* () {
          const { userId } = yield* CurrentUser
          return success(
            yield* ask(
              "sync.change_interval",
              ChangeAnswer,
              { ...payload, userId },
              { refusals: [SyncNotActive, SyncGifted], keyed: true }
            )
          )
        }),
      { uninterruptible: true }
    )
)
