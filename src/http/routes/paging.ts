/** Lists that go on: the Link header says where. */
import { Effect } from "effect"
import type { HttpApiEndpoint } from "effect/http-api"
import { AppSettings } from "../../config.ts"
import type { Arguments } from "../../database/call.ts"
import { RequestState } from "../middleware/request-state.ts"
import { type Answer, type Asked, askFor } from "./ask.ts"

/** The same question again, from another row on. */
const nextPage = (baseUrl: string, url: string, before: string) => {
  const next = new URL(url, baseUrl)
  next.searchParams.delete("offset")
  next.searchParams.set("before", before)
  return `<${baseUrl}${next.pathname}${next.search}>; rel="next"`
}

/** Calls a function that answers with rows under a name, and in `next` the row after which the next page begins. */
export const askForPage = <Endpoint extends HttpApiEndpoint.Top, const Rows extends string>(
  asked: Asked<Endpoint>,
  name: string,
  args: Arguments,
  rows: Rows
) =>
  Effect.gen(function* () {
    type Page = Readonly<Record<Rows, Answer<Endpoint>>> & { readonly next: string | null }
    const page = yield* askFor<Page, Endpoint>(asked, name, args)
    if (page.next !== null) {
      const { baseUrl } = yield* AppSettings
      const { headers } = yield* RequestState
      headers["link"] = nextPage(baseUrl, asked.request.url, page.next)
    }
    return page[rows]
  })
