/** Internal gifts: for the auth service. */
import { internalGifts as contract, PendingRedeemed } from "../contract/internal-gifts.ts"
import { ask } from "./ask.ts"
import { service } from "./callers.ts"
import { endpointsOf, route } from "./route.ts"

const to = endpointsOf(contract)

export const internalGifts = [
  route(to("redeemPending"), service, ({ payload, caller: { caller } }) =>
    // Not repeated after a lost connection: the second answer would say that there was nothing to redeem.
    ask("gifts.redeem_pending", PendingRedeemed, { ...payload, caller })
  )
]
