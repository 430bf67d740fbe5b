/** Who may call: what a route asks for, and what its handler learns of the caller. */
import { HttpApiMiddleware, HttpApiSecurity, OpenApi } from "@effect/platform"
import { Context, Schema } from "effect"
import { Forbidden, ServiceUnavailable, Unauthorized } from "./errors.ts"

/** A signed-in person, as their token says. */
export interface User {
  readonly userId: string
  readonly email: string | undefined
  /** Undefined where the token doesn't say. */
  readonly emailVerified: boolean | undefined
  readonly name: string | undefined
}

export class CurrentUser extends Context.Tag("mana/CurrentUser")<CurrentUser, User>() {}

const bearer = HttpApiSecurity.bearer.pipe(
  HttpApiSecurity.annotate(OpenApi.Format, "JWT"),
  HttpApiSecurity.annotate(OpenApi.Description, "A token of the auth service: issuer MANA_AUTH_URL, audience `mana`")
)

const serviceKey = HttpApiSecurity.apiKey({ in: "header", key: "X-Service-Key" }).pipe(
  HttpApiSecurity.annotate(OpenApi.Description, "One of MANA_SERVICE_KEY")
)

/** Any signed-in person. */
export class UserAuth extends HttpApiMiddleware.Tag<UserAuth>()("mana/UserAuth", {
  provides: CurrentUser,
  failure: Schema.Union(Unauthorized.schema, ServiceUnavailable.schema),
  security: { bearer }
}) {}

/** A signed-in person whose token says `role: "admin"`. */
export class AdminAuth extends HttpApiMiddleware.Tag<AdminAuth>()("mana/AdminAuth", {
  provides: CurrentUser,
  failure: Schema.Union(Unauthorized.schema, Forbidden.schema, ServiceUnavailable.schema),
  security: { bearer }
}) {}

/** A service of ours. */
export class ServiceAuth extends HttpApiMiddleware.Tag<ServiceAuth>()("mana/ServiceAuth", {
  failure: Unauthorized.schema,
  security: { serviceKey }
}) {}
