/** The whole contract. The server, the typed client and the OpenAPI document all come from it. */
import { HttpApi, OpenApi } from "effect/http-api"
import { admin } from "./admin.ts"
import { RequestProblems } from "./body.ts"
import { credits } from "./credits.ts"
import { gifts } from "./gifts.ts"
import { health } from "./health.ts"
import { internalCredits } from "./internal-credits.ts"
import { internalGifts } from "./internal-gifts.ts"
import { internalSync } from "./internal-sync.ts"
import { purchases } from "./purchases.ts"
import { sync } from "./sync.ts"
import { webhooks } from "./webhooks.ts"

export class Api extends HttpApi.make("mana-credits")
  .add(credits, purchases, gifts, sync, internalCredits, internalGifts, internalSync, admin, webhooks, health)
  .middleware(RequestProblems)
  // All faults of a body or a query are named at once.
  .annotate(HttpApi.PayloadParseOptions, { errors: "all" })
  .annotate(HttpApi.QueryParseOptions, { errors: "all" })
  .annotate(OpenApi.Title, "mana-credits")
  .annotate(OpenApi.Version, "1")
  .annotate(
    OpenApi.Description,
    "Credits: one is a euro cent, always a whole number. Unknown fields of a request are ignored, and a response may " +
      "carry more fields than are listed here."
  ) {}
