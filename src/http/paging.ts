/** Lists that go on: where, says the Link header. */
import { Effect } from "effect"
import { AppSettings } from "../config.ts"
import type { OurRequest } from "./our-request.ts"

/** The same question again, from another row on. */
const nextPage = (baseUrl: string, url: string, before: string) => {
  const next = new URL(url, baseUrl)
  next.searchParams.delete("offset")
  next.searchParams.set("before", before)
  return `<${baseUrl}${next.pathname}${next.search}>; rel="next"`
}

/** Names the page that begins after this row; null on the last page. */
export const noteNextPage = (request: OurRequest, before: string | null) =>
  Effect.map(AppSettings, ({ baseUrl }) => {
    if (before !== null) request.answerHeader("link", nextPage(baseUrl, request.url, before))
  })
