/** Internal gifts: for the auth service. */
import { HttpApiBuilder } from "@effect/platform"
import { Api } from "../contract/api.ts"
import { PendingRedeemed } from "../contract/internal-gifts.ts"
import { ask } from "./ask.ts"
import { callerOf } from "./caller.ts"

export const internalGifts = HttpApiBuilder.group(Api, "internalGifts", (handlers) =>
  handlers.handle(
    "redeemPending",
    // Not repeated after a lost connection: the second answer would say that there was nothing to redeem.
    ({ payload, headers }) => ask("gifts.redeem_pending", PendingRedeemed, { ...payload, caller: callerOf(headers) }),
    { uninterruptible: true }
  )
)
