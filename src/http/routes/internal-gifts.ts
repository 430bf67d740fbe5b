/** Internal gifts: for the auth service. */
import { HttpApiBuilder } from "effect/http-api"
import { Api } from "../../contract/api.ts"
import { ask, forService } from "./ask.ts"

export const internalGifts = HttpApiBuilder.group(Api, "internalGifts", (handlers) =>
  handlers.handleAll({
    redeemPending: forService((asked, { caller }) => ask(asked, "gifts.redeem_pending", { ...asked.payload, caller }))
  })
)
