/** Who may call a route, as its handler's line says; the contract says the same, and server.ts compares the two. */
import { Context, Effect, Option } from "effect"
import { AdminAuth, type Service, ServiceAuth, type User, UserAuth } from "../contract/auth.ts"
import type { Forbidden, ServiceUnavailable, TooManyRequests, Unauthorized } from "../contract/errors.ts"
import type { ProblemOf } from "../contract/problem.ts"
import { NeedsScope, type Scope } from "../contract/scopes.ts"
import type { OurRequest } from "./our-request.ts"

type AuthProblem = ProblemOf<
  typeof Unauthorized | typeof Forbidden | typeof TooManyRequests | typeof ServiceUnavailable
>

/** Judges what a request shows: auth.ts. */
export class Auth extends Context.Tag("mana/Auth")<
  Auth,
  {
    readonly user: (request: OurRequest) => Effect.Effect<User, AuthProblem>
    readonly admin: (request: OurRequest) => Effect.Effect<User, AuthProblem>
    /** With a key that is good for the scope. */
    readonly service: (request: OurRequest, scope: Scope) => Effect.Effect<Service, AuthProblem>
  }
>() {}

export interface Callers<Caller, E, R> {
  /** The key of the middleware with which the contract says it; undefined where anybody may. */
  readonly middleware: string | undefined
  /** The header that is judged before anything is done; undefined where none is. */
  readonly credential: string | undefined
  /** For an endpoint, how a request's caller is found out. */
  readonly of: (endpoint: {
    readonly path: string
    readonly annotations: Context.Context<never>
  }) => (request: OurRequest) => Effect.Effect<Caller, E, R>
}

export const anybody: Callers<undefined, never, never> = {
  middleware: undefined,
  credential: undefined,
  of: () => () => Effect.succeed(undefined)
}

/** Stripe, by its signature: the handler judges it, since it is over the body. */
export const stripe: Callers<undefined, never, never> = { ...anybody, credential: "stripe-signature" }

/** A person, as their token says. */
export const user: Callers<User, AuthProblem, Auth> = {
  middleware: UserAuth.key,
  credential: "authorization",
  of: () => (request) => Effect.flatMap(Auth, (auth) => auth.user(request))
}

export const admin: Callers<User, AuthProblem, Auth> = {
  middleware: AdminAuth.key,
  credential: "authorization",
  of: () => (request) => Effect.flatMap(Auth, (auth) => auth.admin(request))
}

/** A service, as its key says; an endpoint that names no scope keeps the process from starting. */
export const service: Callers<Service, AuthProblem, Auth> = {
  middleware: ServiceAuth.key,
  credential: "x-service-key",
  of: ({ path, annotations }) => {
    const scope = Option.getOrThrowWith(
      Context.getOption(annotations, NeedsScope),
      () => new Error(`${path} is for services and names no scope`)
    )
    return (request) => Effect.flatMap(Auth, (auth) => auth.service(request, scope))
  }
}
