/** For administrators. */
import { Effect } from "effect"
import { admin as contract, SyncDetails } from "../contract/admin.ts"
import { SyncGiftNotFound } from "../contract/errors.ts"
import { ask } from "./ask.ts"
import { admin as administrator } from "./callers.ts"
import { endpointsOf, route } from "./route.ts"

const success = <A extends object>(answer: A) => ({ success: true as const, ...answer })

const to = endpointsOf(contract)

export const admin = [
  route(to("sync"), administrator, ({ path }) => ask("sync.details", SyncDetails, path)),
  route(to("giveSync"), administrator, ({ path, caller: { userId: by } }) =>
    // Given twice, the first stays: it may be sent again.
    Effect.map(ask("sync.gift", SyncDetails, { ...path, by }, { keyed: true }), success)
  ),
  route(to("revokeSync"), administrator, ({ path, caller: { userId: by } }) =>
    Effect.map(ask("sync.revoke_gift", SyncDetails, { ...path, by }, { refusals: [SyncGiftNotFound] }), success)
  )
]
