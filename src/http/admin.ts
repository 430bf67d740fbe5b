/** For administrators. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { Effect } from "effect"
import { SyncDetails } from "../contract/admin.ts"
import { Api } from "../contract/api.ts"
import { CurrentUser } from "../contract/auth.ts"
import { SyncGiftNotFound } from "../contract/errors.ts"
import { ask } from "./ask.ts"

const success = <A extends object>(answer: A) => ({ success: true as const, ...answer })

export const admin = HttpApiBuilder.group(Api, "admin", (handlers) =>
  handlers
    .handle("sync", ({ path }) => ask("sync.details", SyncDetails, path))
    .handle(
      "giveSync",
      ({ path }) =>
        Effect.flatMap(CurrentUser, ({ userId: by }) =>
          // Given twice, the first stays: it may be sent again.
          Effect.map(ask("sync.gift", SyncDetails, { ...path, by }, { keyed: true }), success)
        ),
      { uninterruptible: true }
    )
    .handle(
      "revokeSync",
      ({ path }) =>
        Effect.flatMap(CurrentUser, ({ userId: by }) =>
          Effect.map(ask("sync.revoke_gift", SyncDetails, { ...path, by }, { refusals: [SyncGiftNotFound] }), success)
        ),
      { uninterruptible: true }
    )
)
