/** The whole contract. The server, the typed client and the OpenAPI document all come from it. */
import { HttpApi, OpenApi } from "@effect/platform"
import { credits } from "./credits.ts"
import { InternalError, InvalidRequest, PayloadTooLarge, ServiceUnavailable } from "./errors.ts"
import { internalCredits } from "./internal-credits.ts"

export const Api = HttpApi.make("mana-credits")
  .add(credits)
  .add(internalCredits)
  // What any route may answer.
  .addError(InvalidRequest.schema)
  .addError(PayloadTooLarge.schema)
  .addError(ServiceUnavailable.schema)
  .addError(InternalError.schema)
  .annotate(OpenApi.Title, "mana-credits")
  .annotate(OpenApi.Version, "1")
