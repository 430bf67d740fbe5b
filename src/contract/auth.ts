/** Authentication of a request: the middlewares that endpoints name, and what each provides to its handlers. */
import { Context } from "effect"
import { HttpApiMiddleware, HttpApiSecurity, OpenApi } from "effect/http-api"
import { Forbidden, ServiceUnavailable, TooManyRequests, Unauthorized } from "./problems.ts"

/** A signed-in person, as their token says. */
export interface User {
  readonly userId: string
  readonly email: string | undefined
  /** Undefined where the token doesn't say. */
  readonly emailVerified: boolean | undefined
  readonly name: string | undefined
}

export class CurrentUser extends Context.Service<CurrentUser, User>()("mana/CurrentUser") {}

/** A service, as its key says. */
export interface Service {
  /** As the ledger names it; idempotency keys are remembered per caller. */
  readonly caller: string
  readonly appId: string | undefined
  /** Caller whose holds it may close: itself; undefined: any. */
  readonly onlyOf: string | undefined
  /** The key that debits and holds count against, where it has a daily cap. */
  readonly serviceKeyId: string | undefined
}

export class CurrentService extends Context.Service<CurrentService, Service>()("mana/CurrentService") {}

const bearer = HttpApiSecurity.bearer.pipe(
  HttpApiSecurity.annotate(OpenApi.Format, "JWT"),
  HttpApiSecurity.annotate(OpenApi.Description, "A token of the auth service: issuer MANA_AUTH_URL, audience `mana`")
)

const serviceKey = HttpApiSecurity.apiKey({ in: "header", key: "X-Service-Key" }).pipe(
  HttpApiSecurity.annotate(
    OpenApi.Description,
    "A key of one app, with the scopes it was made with, or one of MANA_SERVICE_KEY"
  )
)

/** Any signed-in person. */
export class UserAuth extends HttpApiMiddleware.Service<UserAuth, { provides: CurrentUser }>()("mana/UserAuth", {
  error: [Unauthorized, TooManyRequests, ServiceUnavailable],
  security: { bearer }
}) {}

/** A signed-in person whose token says `role: "admin"`. */
export class AdminAuth extends HttpApiMiddleware.Service<AdminAuth, { provides: CurrentUser }>()("mana/AdminAuth", {
  error: [Unauthorized, Forbidden, TooManyRequests, ServiceUnavailable],
  security: { bearer }
}) {}

/** A service whose key has the scope that the endpoint needs: see scopes.ts. */
export class ServiceAuth extends HttpApiMiddleware.Service<ServiceAuth, { provides: CurrentService }>()(
  "mana/ServiceAuth",
  { error: [Unauthorized, Forbidden, TooManyRequests, ServiceUnavailable], security: { serviceKey } }
) {}

/** No credential asked for: requests are counted by the address they come from. */
export class Public extends HttpApiMiddleware.Service<Public>()("mana/Public", { error: TooManyRequests }) {}
