/** The contract for readers: /openapi.json for machines, /docs for people. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { Effect } from "effect"
import { openApi } from "../contract/openapi.ts"
import { docsPage } from "./docs-page.ts"

const document = HttpServerResponse.unsafeJson(openApi)

const page = HttpServerResponse.html(docsPage).pipe(
  HttpServerResponse.setHeader(
    "content-security-policy",
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
  )
)

export const documents = HttpApiBuilder.Router.use((router) =>
  Effect.zipRight(router.get("/openapi.json", Effect.succeed(document)), router.get("/docs", Effect.succeed(page)))
)
