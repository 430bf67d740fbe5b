/** What a service key is good for, and which route needs what. The same list as the type credits.service_scope. */
import { Context, Schema } from "effect"
import { OpenApi } from "effect/http-api"

export const Scope = Schema.Literals(["read", "use", "reserve", "refund", "grant", "init", "gifts", "sync"])
export type Scope = typeof Scope.Type

/** On an endpoint: the scope that a service key needs for it. */
export class NeedsScope extends Context.Service<NeedsScope, Scope>()("mana/NeedsScope") {}

/**
 * `endpoint.annotateMerge(needs("use"))`. OpenAPI says it as 3.1 does for keys: the list behind a security scheme's
 * name is what its bearer must be allowed.
 */
export const needs = (scope: Scope) =>
  Context.make(NeedsScope, scope).pipe(
    Context.add(OpenApi.Transform, (operation) => ({ ...operation, security: [{ serviceKey: [scope] }] }))
  )
