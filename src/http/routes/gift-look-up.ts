/** A gift by its code: for the contract's route and for the page. */
import { Effect } from "effect"
import { AppSettings } from "../../config.ts"
import type { Api } from "../../contract/api.ts"
import type { LookedUpGift } from "../../contract/gifts.ts"
import { GiftNotFound } from "../../contract/problems.ts"
import { clientAddress } from "../middleware/client-address.ts"
import { type Asked, askFor } from "./ask.ts"

/** SQL's answer to a code. It counts a wrong one, so it can't raise: that would roll back the count. */
export type Found<A> = ({ readonly found: true } & A) | { readonly found: false }

export const noSuchGift = new GiftNotFound({
  detail: "There is no such code. Type it as it was sent: twelve characters."
})

/** The address of a gift's page. */
export const pageUrl = ({ baseUrl }: { readonly baseUrl: string }, code: string) => `${baseUrl}/g/${code}`

type Endpoint = (typeof Api)["groups"]["gifts"]["endpoints"]["lookUp"]

/** A miss counts against the client's address. */
export const lookUp = (asked: Asked<Endpoint>, code: string) =>
  Effect.gen(function* () {
    const client = clientAddress(asked.request, yield* AppSettings)
    const answer = yield* askFor<Found<{ readonly gift: LookedUpGift }>, Endpoint>(asked, "gifts.look_up", {
      code,
      client
    })
    return answer.found ? answer.gift : yield* noSuchGift
  })
