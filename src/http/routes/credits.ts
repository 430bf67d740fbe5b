/** Personal credits: of the person whom the token names. */
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Api } from "../../contract/api.ts"
import { ask, forUser } from "./ask.ts"
import { askForDebit } from "./debit.ts"
import { askForPage } from "./paging.ts"

export const credits = HttpApiBuilder.group(
  Api,
  "credits",
  Effect.fnUntraced(function* (handlers) {
    const debit = yield* askForDebit
    return handlers.handleAll({
      balance: forUser((asked, { userId }) => ask(asked, "credits.balance", { userId })),
      use: forUser((asked, { userId }) => debit(asked, { ...asked.payload, userId, caller: "user" })),
      transactions: forUser((asked, { userId }) =>
        askForPage(asked, "credits.history", { ...asked.query, userId }, "transactions")
      ),
      usage: forUser((asked, { userId }) => ask(asked, "credits.usage", { ...asked.query, userId })),
      pricing: (asked) => ask(asked, "credits.pricing", {})
    })
  })
)
