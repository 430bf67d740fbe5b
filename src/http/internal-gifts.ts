/** Internal gifts: for the auth service. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { Effect } from "effect"
import { Api } from "../contract/api.ts"
import { CurrentService } from "../contract/auth.ts"
import { PendingRedeemed } from "../contract/internal-gifts.ts"
import { ask } from "./ask.ts"

export const internalGifts = HttpApiBuilder.group(Api, "internalGifts", (handlers) =>
  handlers.handle(
    "redeemPending",
    // Not repeated after a lost connection: the second answer would say that there was nothing to redeem.
    ({ payload }) =>
      Effect.flatMap(CurrentService, ({ caller }) =>
        ask("gifts.redeem_pending", PendingRedeemed, { ...payload, caller })
      ),
    { uninterruptible: true }
  )
)
