/** Credentials off the request: verified, and what they say provided to the handler. */
import { Context, Effect, Layer, Option } from "effect"
import { HttpServerRequest, type HttpServerResponse } from "effect/http"
import type { HttpApiEndpoint } from "effect/http-api"
import type { unhandled } from "effect/Types"
import { type AppKey, type RootKey, serviceKeys } from "../../auth/service-keys.ts"
import { type CannotVerify, tokenVerifier, type VerifiedUser } from "../../auth/tokens.ts"
import { AppSettings } from "../../config.ts"
import { AdminAuth, CurrentService, CurrentUser, type Service, ServiceAuth, UserAuth } from "../../contract/auth.ts"
import { Forbidden, ServiceUnavailable, Unauthorized } from "../../contract/problems.ts"
import { NeedsScope, type Scope } from "../../contract/scopes.ts"
import { errorMessage } from "../../lib/error-message.ts"
import { noteAway } from "./database-away.ts"
import { RateLimits } from "./rate-limits.ts"
import { isRepeated } from "./request-headers.ts"
import { RequestState } from "./request-state.ts"

type Request = HttpServerRequest.HttpServerRequest
type Response = HttpServerResponse.HttpServerResponse

const unauthorized = (detail: string) => new Unauthorized({ detail })

const noToken = unauthorized("Sign in: this address needs `Authorization: Bearer` with a token of the auth service.")

const noKeys = ({ cause }: CannotVerify) =>
  Effect.andThen(
    Effect.logWarning("The auth service's keys can't be fetched", {
      reason: errorMessage(cause),
      because: cause instanceof Error && cause.cause !== undefined ? errorMessage(cause.cause) : undefined
    }),
    Effect.fail(
      new ServiceUnavailable({
        detail: "Tokens can't be verified just now. Try again in a moment.",
        retryAfterSeconds: 5
      })
    )
  )

const bearerToken = (request: Request) => {
  const [, token] = /^bearer +(\S+)$/i.exec(request.headers["authorization"] ?? "") ?? []
  return isRepeated(request, "authorization") ? undefined : token
}

/** Notes, for the log, as whom a request was let in. */
const noteCaller = (caller: string) =>
  Effect.map(RequestState, (state) => {
    state.caller = caller
  })

const asksForBearer = Effect.map(RequestState, (state) => {
  state.headers["www-authenticate"] = "Bearer"
})

const notAnAdmin = new Forbidden({ detail: "This address is for administrators." })

/** One verifier for all people: users and administrators share its keys, and a person's requests are counted together. */
const people = Layer.effectContext(
  Effect.gen(function* () {
    const limits = yield* RateLimits
    const verify = tokenVerifier(yield* AppSettings)

    const askForToken = (problem: Unauthorized) => Effect.andThen(asksForBearer, Effect.fail(problem))

    const refused = (request: Request, problem: Unauthorized) =>
      Effect.andThen(limits.unauthenticated(request), askForToken(problem))

    const verified = (request: Request) => {
      const token = bearerToken(request)
      if (token === undefined) return refused(request, noToken)
      return Effect.catchTags(verify(token), {
        InvalidToken: ({ message, isExpired }) =>
          // An expired token is its person's all the same: an app that is opened again in the morning.
          isExpired ? askForToken(unauthorized(message)) : refused(request, unauthorized(message)),
        CannotVerify: noKeys
      })
    }

    const signedIn = Effect.flatMap(HttpServerRequest.HttpServerRequest, verified).pipe(
      Effect.tap(({ userId }) => limits.person(userId))
    )

    const as = (caller: string) => (httpEffect: Effect.Effect<Response, unhandled, CurrentUser>, user: VerifiedUser) =>
      Effect.andThen(noteCaller(caller), Effect.provideService(httpEffect, CurrentUser, user))
    const [asUser, asAdmin] = [as("user"), as("admin")]

    return Context.make(UserAuth, {
      bearer: (httpEffect) => Effect.flatMap(signedIn, (user) => asUser(httpEffect, user))
    }).pipe(
      Context.add(AdminAuth, {
        bearer: (httpEffect) =>
          Effect.flatMap(
            Effect.filterOrFail(
              signedIn,
              ({ isAdmin }) => isAdmin,
              () => notAnAdmin
            ),
            (user) => asAdmin(httpEffect, user)
          )
      })
    )
  })
)

const cannotLookUp = Effect.fail(
  new ServiceUnavailable({
    detail: "Service keys can't be looked up just now. Try again in a moment.",
    retryAfterSeconds: 1
  })
)

/** A key of the environment: any scope, and the app is whatever it calls itself. */
const rootKey = (appId: string | undefined): Service => ({
  caller: appId === undefined ? "service" : `service:${appId}`,
  appId,
  onlyOf: undefined,
  serviceKeyId: undefined
})

/** A key of one app: its scopes, its name, its own holds. */
const appKey = (key: AppKey, named: string | undefined, scope: Scope) => {
  if (!key.scopes.includes(scope)) {
    const detail = `This needs the scope ${scope}; the service key has ${key.scopes.join(", ")}.`
    return Effect.fail(new Forbidden({ detail }))
  }
  if (named !== undefined && named !== key.appId) {
    return Effect.fail(new Forbidden({ detail: `The service key is that of ${key.appId}: X-App-Id says otherwise.` }))
  }
  const caller = `service:${key.appId}`
  return Effect.succeed<Service>({
    caller,
    appId: key.appId,
    onlyOf: caller,
    serviceKeyId: key.isCapped ? key.id : undefined
  })
}

/** An endpoint for services that names no scope keeps the process from starting. */
const scopeOf = ({ path, annotations }: HttpApiEndpoint.Top) =>
  Option.getOrThrowWith(
    Context.getOption(annotations, NeedsScope),
    () => new Error(`${path} is for services and names no scope`)
  )

const serviceAuth = Layer.effect(
  ServiceAuth,
  Effect.gen(function* () {
    const limits = yield* RateLimits
    const judge = yield* serviceKeys((yield* AppSettings).serviceKeys)

    const verified = (request: Request) =>
      Effect.catchTags(
        judge(request.headers["x-service-key"] ?? "", () => limits.isOver(request)),
        {
          InvalidKey: ({ message }) =>
            Effect.andThen(limits.unauthenticated(request), Effect.fail(unauthorized(message))),
          Unavailable: (unavailable) => Effect.andThen(noteAway(unavailable), cannotLookUp),
          Overloaded: () => cannotLookUp
        }
      )

    const serviceOf = (request: Request, key: RootKey | AppKey, scope: Scope) => {
      const named = request.headers["x-app-id"]
      return key.status === "root" ? Effect.succeed(rootKey(named)) : appKey(key, named, scope)
    }

    return {
      serviceKey: (httpEffect, { endpoint }) => {
        const scope = scopeOf(endpoint)
        return Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
          Effect.flatMap(verified(request), (key) => serviceOf(request, key, scope))
        ).pipe(
          Effect.tap(({ onlyOf }) => noteCaller(onlyOf ?? "service")),
          Effect.flatMap((service) => Effect.provideService(httpEffect, CurrentService, service))
        )
      }
    }
  })
)

export const auth = Layer.merge(people, serviceAuth)
