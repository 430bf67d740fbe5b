/** The contract for readers: /openapi.json for machines, /docs for people. */
import { Effect } from "effect"
import { openApi } from "../contract/openapi.ts"
import { htmlAnswer, jsonAnswer } from "./answer.ts"
import { docsPage } from "./docs-page.ts"
import type { Route } from "./route.ts"

const document = jsonAnswer(200, openApi)

const page = htmlAnswer(200, docsPage, {
  "content-type": "text/html", // the page says its charset itself
  "content-security-policy":
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
})

export const documents: ReadonlyArray<Route<never>> = [
  { method: "GET", path: "/openapi.json", answer: () => Effect.succeed(document) },
  { method: "GET", path: "/docs", answer: () => Effect.succeed(page) }
]
