/** The contract for readers: /openapi.json for machines, /docs for people. */
import { Effect, Layer } from "effect"
import { HttpServerResponse } from "effect/http"
import { AppSettings } from "../../config.ts"
import { openApiAt } from "../../contract/openapi.ts"
import { docsPage } from "../../pages/docs/page.ts"
import { page } from "./page.ts"

const headers = {
  "content-security-policy":
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

export const documents = Layer.unwrap(
  Effect.map(AppSettings, ({ baseUrl }) => {
    const document = openApiAt(baseUrl)
    return Layer.merge(
      page("/openapi.json", Effect.succeed(HttpServerResponse.jsonUnsafe(document))),
      page("/docs", Effect.succeed(HttpServerResponse.text(docsPage(document), { contentType: "text/html", headers })))
    )
  })
)
