/** Sync billing: for the person whom the token names. */
import { Effect, Schema } from "effect"
import {
  IdempotencyKeyReused,
  InsufficientCredits,
  SyncAlreadyActive,
  SyncGifted,
  SyncNotActive
} from "../contract/errors.ts"
import { activated, changed, deactivated, sync as contract, SyncStatus } from "../contract/sync.ts"
import { ask, replayed, withoutMark } from "./ask.ts"
import { keyOf } from "./idempotency.ts"
import { user } from "./callers.ts"
import { endpointsOf, route } from "./route.ts"

const ActivateAnswer = Schema.Struct({ ...activated, ...replayed })
const DeactivateAnswer = Schema.Struct(deactivated)
const ChangeAnswer = Schema.Struct(changed)

const success = <A extends object>(answer: A) => ({ success: true as const, ...answer })

const to = endpointsOf(contract)

export const sync = [
  route(to("status"), user, ({ caller: { userId } }) => ask("sync.status", SyncStatus, { userId })),
  route(to("activate"), user, ({ payload, headers, caller: { userId }, request }) =>
    Effect.gen(function* () {
      const idempotencyKey = yield* keyOf(request, payload, headers)
      const answer = yield* ask(
        "sync.activate",
        ActivateAnswer,
        { ...payload, userId, idempotencyKey, caller: "user" },
        {
          refusals: [InsufficientCredits, IdempotencyKeyReused, SyncAlreadyActive, SyncGifted],
          keyed: idempotencyKey !== undefined
        }
      )
      return success(withoutMark(request, answer))
    })
  ),
  route(to("deactivate"), user, ({ caller: { userId } }) =>
    Effect.map(ask("sync.deactivate", DeactivateAnswer, { userId }, { refusals: [SyncNotActive, SyncGifted] }), success)
  ),
  route(to("changeInterval"), user, ({ payload, caller: { userId } }) =>
    Effect.map(
      ask(
        "sync.change_interval",
        ChangeAnswer,
        { ...payload, userId },
        { refusals: [SyncNotActive, SyncGifted], keyed: true }
      ),
      success
    )
  )
]
