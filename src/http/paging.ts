/** Lists that go on: where, says the Link header. */
import { Effect } from "effect"
import { AppSettings } from "../config.ts"
import { CurrentRequest } from "./our-request.ts"
import { answerHeader } from "./request-state.ts"

/** The same question again, from another row on. */
const nextPage = (baseUrl: string, url: string, before: string) => {
  const next = new URL(url, baseUrl)
  next.searchParams.delete("offset")
  next.searchParams.set("before", before)
  return `<${baseUrl}${next.pathname}${next.search}>; rel="next"`
}

/** Names the page that begins after this row; null on the last page. */
export const noteNextPage = (before: string | null) =>
  Effect.gen(function* () {
    if (before === null) return
    const { baseUrl } = yield* AppSettings
    const { url } = yield* CurrentRequest
    yield* answerHeader("link", nextPage(baseUrl, url, before))
  })
