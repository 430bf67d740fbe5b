/** The contract for readers: /openapi.json for machines, /docs for people. */
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { Effect } from "effect"
import { openApi } from "../contract/openapi.ts"
import { docsPage } from "./docs-page.ts"
import type { Route } from "./route.ts"

const document = HttpServerResponse.unsafeJson(openApi)

const page = HttpServerResponse.html(docsPage).pipe(
  HttpServerResponse.setHeader(
    "content-security-policy",
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
  )
)

export const documents: ReadonlyArray<Route<never>> = [
  { method: "GET", path: "/openapi.json", answer: () => Effect.succeed(document) },
  { method: "GET", path: "/docs", answer: () => Effect.succeed(page) }
]
