/** For administrators. */
import { HttpApiBuilder } from "effect/http-api"
import { Api } from "../../contract/api.ts"
import { ask, forUser } from "./ask.ts"

export const admin = HttpApiBuilder.group(Api, "admin", (handlers) =>
  handlers.handleAll({
    sync: (asked) => ask(asked, "sync.details", asked.params),
    giveSync: forUser((asked, { userId: by }) => ask(asked, "sync.gift", { ...asked.params, by })),
    revokeSync: forUser((asked, { userId: by }) => ask(asked, "sync.revoke_gift", { ...asked.params, by }))
  })
)
