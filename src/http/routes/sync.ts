/** Sync billing: of the person whom the token names. */
import { HttpApiBuilder } from "effect/http-api"
import { Api } from "../../contract/api.ts"
import { ask, forUser } from "./ask.ts"

export const sync = HttpApiBuilder.group(Api, "sync", (handlers) =>
  handlers.handleAll({
    status: forUser((asked, { userId }) => ask(asked, "sync.status", { userId })),
    activate: forUser((asked, { userId }) => ask(asked, "sync.activate", { ...asked.payload, userId, caller: "user" })),
    deactivate: forUser((asked, { userId }) => ask(asked, "sync.deactivate", { userId })),
    changeInterval: forUser((asked, { userId }) => ask(asked, "sync.change_interval", { ...asked.payload, userId }))
  })
)
