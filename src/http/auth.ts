/** Credentials off the request, judged: the contract's middleware. */
import * as HttpApi from "@effect/platform/HttpApi"
import * as HttpRouter from "@effect/platform/HttpRouter"
import { Context, Effect, Layer, Option } from "effect"
import { type AppKey, type HouseKey, serviceKeys } from "../auth/service-keys.ts"
import { tokenVerifier, type VerifiedUser } from "../auth/tokens.ts"
import { AppSettings } from "../config.ts"
import { Api } from "../contract/api.ts"
import { AdminAuth, type Service, ServiceAuth, UserAuth } from "../contract/auth.ts"
import { Forbidden, ServiceUnavailable, Unauthorized } from "../contract/errors.ts"
import { makeProblem } from "../contract/problem.ts"
import { NeedsScope, type Scope } from "../contract/scopes.ts"
import { counter, orWait, RequestRates } from "./limits.ts"
import type { OurRequest } from "./our-request.ts"
import { answerHeader, isCalledBy, isKnown, ourRequest } from "./request-state.ts"

const unauthorized = (detail: string) => Effect.fail(makeProblem(Unauthorized, detail))

const noToken = unauthorized("Sign in: this address needs `Authorization: Bearer` with a token of the auth service.")

const noKeys = Effect.zipRight(
  Effect.logWarning("The auth service's keys can't be fetched"),
  Effect.suspend(() =>
    Effect.fail(
      makeProblem(ServiceUnavailable, "Tokens can't be verified just now. Try again in a moment.", {
        retryAfterSeconds: 5
      })
    )
  )
)

/** Node keeps the first of several and says nothing of the others; a proxy in front of us may have judged another one. */
const isRepeated = ({ source }: OurRequest, name: string) =>
  source.rawHeaders.filter(
    (text, index) => index % 2 === 0 && text.length === name.length && text.toLowerCase() === name
  ).length > 1

// HttpApi slices "Bearer " off without looking whether it is there: the header is read here.
const bearerToken = Effect.flatMap(ourRequest, (request) => {
  const [, token] = /^bearer +(\S+)$/i.exec(request.headers["authorization"] ?? "") ?? []
  return token === undefined || isRepeated(request, "authorization") ? noToken : Effect.succeed(token)
})

type Verify = ReturnType<typeof tokenVerifier>

const signedIn = (verify: Verify) =>
  Effect.flatMap(bearerToken, (token) =>
    Effect.catchTags(verify(token), {
      // Theirs all the same: an app that is opened again in the morning is no stranger.
      InvalidToken: ({ message, isExpired }) =>
        Effect.zipRight(isExpired ? isKnown : Effect.void, unauthorized(message)),
      CannotVerify: () => noKeys
    })
  ).pipe(Effect.tapErrorTag("unauthorized", () => answerHeader("www-authenticate", "Bearer")))

const admin = (user: VerifiedUser) =>
  user.isAdmin ? Effect.succeed(user) : Effect.fail(makeProblem(Forbidden, "This address is for administrators."))

/** One verifier for both: they share its keys, and a person's requests are counted together. */
const people = Layer.unwrapEffect(
  Effect.map(Effect.all([AppSettings, RequestRates]), ([settings, rates]) => {
    const { count } = counter(rates.people)
    const user = signedIn(tokenVerifier(settings)).pipe(
      Effect.zipLeft(isKnown),
      Effect.tap(({ userId }) => orWait(count(userId)))
    )
    return Layer.merge(
      Layer.succeed(UserAuth, { bearer: () => Effect.zipLeft(user, isCalledBy("user")) }),
      Layer.succeed(AdminAuth, { bearer: () => user.pipe(Effect.flatMap(admin), Effect.zipLeft(isCalledBy("admin"))) })
    )
  })
)

/** What a service key needs, by route. A route that doesn't say keeps the service from starting. */
const scopes = new Map<string, Scope>()
HttpApi.reflect(Api, {
  onGroup: () => undefined,
  onEndpoint: ({ endpoint, middleware }) => {
    if (![...middleware].some(({ key }) => key === ServiceAuth.key)) return
    const route = `${endpoint.method} ${endpoint.path}`
    scopes.set(
      route,
      Option.getOrThrowWith(
        Context.getOption(endpoint.annotations, NeedsScope),
        () => new Error(`${route} is for services and names no scope`)
      )
    )
  }
})

const forbidden = (detail: string) => Effect.fail(makeProblem(Forbidden, detail))

const cannotLookUp = Effect.suspend(() =>
  Effect.fail(
    makeProblem(ServiceUnavailable, "Service keys can't be looked up just now. Try again in a moment.", {
      retryAfterSeconds: 1
    })
  )
)

/** A key of the environment: any scope, and the app is whatever it calls itself. */
const house = (appId: string | undefined): Service => ({
  caller: appId === undefined ? "service" : `service:${appId}`,
  appId,
  onlyOf: undefined,
  serviceKeyId: undefined
})

/** A key of one app: its scopes, its name, its own holds. */
const ofApp = (key: AppKey, named: string | undefined) =>
  Effect.gen(function* () {
    const { route } = yield* HttpRouter.RouteContext
    const scope = scopes.get(`${route.method} ${route.path}`)
    if (scope === undefined || !key.scopes.includes(scope)) {
      return yield* forbidden(
        `This needs the scope ${scope ?? "of no key"}; the service key has ${key.scopes.join(", ")}.`
      )
    }
    if (named !== undefined && named !== key.appId) {
      return yield* forbidden(`The service key is that of ${key.appId}: X-App-Id says otherwise.`)
    }
    const caller = `service:${key.appId}`
    const service: Service = {
      caller,
      appId: key.appId,
      onlyOf: caller,
      serviceKeyId: key.isCapped ? key.id : undefined
    }
    return service
  })

const services = Layer.effect(
  ServiceAuth,
  Effect.gen(function* () {
    const settings = yield* AppSettings
    const judge = yield* serviceKeys(settings.serviceKeys)
    const serviceOf = ({ headers, state }: OurRequest, key: HouseKey | AppKey) => {
      // Known whatever comes of it: a key without the scope is a key.
      state.isStranger = false
      const named = headers["x-app-id"]
      return key.status === "house" ? Effect.succeed(house(named)) : ofApp(key, named)
    }
    const service = Effect.flatMap(ourRequest, (request) =>
      judge(request.headers["x-service-key"] ?? "", request.state.isSuspect).pipe(
        Effect.catchTags({
          InvalidKey: ({ message }) => unauthorized(message),
          Unavailable: () => cannotLookUp,
          Overloaded: () => cannotLookUp
        }),
        Effect.flatMap((key) => serviceOf(request, key)),
        Effect.map((each) => {
          request.state.caller = each.onlyOf ?? "service"
          return each
        })
      )
    )
    return {
      serviceKey: () => service
    }
  })
)

export const auth = Layer.merge(people, services)
