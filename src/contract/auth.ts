/** Who may call: what a route asks for, and what its handler learns of the caller. */
import * as HttpApiMiddleware from "@effect/platform/HttpApiMiddleware"
import * as HttpApiSecurity from "@effect/platform/HttpApiSecurity"
import * as OpenApi from "@effect/platform/OpenApi"
import { Schema } from "effect"
import { Forbidden, ServiceUnavailable, TooManyRequests, Unauthorized } from "./errors.ts"

/** A signed-in person, as their token says. */
export interface User {
  readonly userId: string
  readonly email: string | undefined
  /** Undefined where the token doesn't say. */
  readonly emailVerified: boolean | undefined
  readonly name: string | undefined
}

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
export class UserAuth extends HttpApiMiddleware.Tag<UserAuth>()("mana/UserAuth", {
  failure: Schema.Union(Unauthorized.schema, TooManyRequests.schema, ServiceUnavailable.schema),
  security: { bearer }
}) {}

/** A signed-in person whose token says `role: "admin"`. */
export class AdminAuth extends HttpApiMiddleware.Tag<AdminAuth>()("mana/AdminAuth", {
  failure: Schema.Union(Unauthorized.schema, Forbidden.schema, TooManyRequests.schema, ServiceUnavailable.schema),
  security: { bearer }
}) {}

/** A service, as its key says. */
export interface Service {
  /** As the ledger names it; idempotency keys are remembered per caller. */
  readonly caller: string
  readonly appId: string | undefined
  /** Whose holds it may close: its own, by the name of its caller; undefined: anybody's. */
  readonly onlyOf: string | undefined
  /** The key that debits and holds count against, where it has a daily cap. */
  readonly serviceKeyId: string | undefined
}

/** A service of ours, whose key has the scope that the endpoint needs: see scopes.ts. */
export class ServiceAuth extends HttpApiMiddleware.Tag<ServiceAuth>()("mana/ServiceAuth", {
  failure: Schema.Union(Unauthorized.schema, Forbidden.schema, ServiceUnavailable.schema),
  security: { serviceKey }
}) {}
