/** Credentials off the request, judged. */
import { Effect, Layer } from "effect"
import { type AppKey, type HouseKey, serviceKeys } from "../auth/service-keys.ts"
import { type CannotVerify, tokenVerifier, type VerifiedUser } from "../auth/tokens.ts"
import { AppSettings } from "../config.ts"
import type { Service } from "../contract/auth.ts"
import { Forbidden, ServiceUnavailable, Unauthorized } from "../contract/errors.ts"
import { makeProblem } from "../contract/problem.ts"
import type { Scope } from "../contract/scopes.ts"
import { reasonOf } from "../reason.ts"
import { noteAway } from "./ask.ts"
import { Auth } from "./callers.ts"
import { counter, orWait, RequestRates } from "./limits.ts"
import type { OurRequest } from "./our-request.ts"

const unauthorized = (detail: string) => Effect.fail(makeProblem(Unauthorized, detail))

const noToken = unauthorized("Sign in: this address needs `Authorization: Bearer` with a token of the auth service.")

const noKeys = ({ cause }: CannotVerify) =>
  Effect.zipRight(
    Effect.logWarning("The auth service's keys can't be fetched", {
      reason: reasonOf(cause),
      because: cause instanceof Error && cause.cause !== undefined ? reasonOf(cause.cause) : undefined
    }),
    Effect.suspend(() =>
      Effect.fail(
        makeProblem(ServiceUnavailable, "Tokens can't be verified just now. Try again in a moment.", {
          retryAfterSeconds: 5
        })
      )
    )
  )

const bearerToken = (request: OurRequest) => {
  const [, token] = /^bearer +(\S+)$/i.exec(request.headers["authorization"] ?? "") ?? []
  return request.isRepeated("authorization") ? undefined : token
}

const forbidden = (detail: string) => Effect.fail(makeProblem(Forbidden, detail))

const administrator = (user: VerifiedUser) =>
  user.isAdmin ? Effect.succeed(user) : forbidden("This address is for administrators.")

/** Notes, for the log, as whom somebody was let in. */
const letIn =
  ({ state }: OurRequest, caller: string) =>
  <A>(who: A) => {
    state.caller = caller
    return who
  }

/** One verifier for all people: users and administrators share its keys, and a person's requests are counted together. */
const people = Effect.gen(function* () {
  const verify = tokenVerifier(yield* AppSettings)
  const { count } = counter((yield* RequestRates).people)

  const verified = (request: OurRequest) => {
    const token = bearerToken(request)
    if (token === undefined) return noToken
    return Effect.catchTags(verify(token), {
      InvalidToken: ({ message, isExpired }) => {
        // Theirs all the same: an app that is opened again in the morning is no stranger.
        if (isExpired) request.state.isStranger = false
        return unauthorized(message)
      },
      CannotVerify: noKeys
    })
  }

  const signedIn = (request: OurRequest) =>
    verified(request).pipe(
      Effect.tapErrorTag("unauthorized", () =>
        Effect.sync(() => {
          request.state.headers["www-authenticate"] = "Bearer"
        })
      ),
      Effect.tap(({ userId }) => {
        request.state.isStranger = false
        return orWait(count(userId))
      })
    )

  return {
    user: (request: OurRequest) => Effect.map(signedIn(request), letIn(request, "user")),
    admin: (request: OurRequest) =>
      signedIn(request).pipe(Effect.flatMap(administrator), Effect.map(letIn(request, "admin")))
  }
})

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
const ofApp = (key: AppKey, named: string | undefined, scope: Scope) => {
  if (!key.scopes.includes(scope)) {
    return forbidden(`This needs the scope ${scope}; the service key has ${key.scopes.join(", ")}.`)
  }
  if (named !== undefined && named !== key.appId) {
    return forbidden(`The service key is that of ${key.appId}: X-App-Id says otherwise.`)
  }
  const caller = `service:${key.appId}`
  return Effect.succeed<Service>({
    caller,
    appId: key.appId,
    onlyOf: caller,
    serviceKeyId: key.isCapped ? key.id : undefined
  })
}

const services = Effect.gen(function* () {
  const judge = yield* serviceKeys((yield* AppSettings).serviceKeys)

  const serviceOf = ({ headers, state }: OurRequest, key: HouseKey | AppKey, scope: Scope) => {
    // Known whatever comes of it: a key without the scope is a key.
    state.isStranger = false
    const named = headers["x-app-id"]
    return key.status === "house" ? Effect.succeed(house(named)) : ofApp(key, named, scope)
  }

  return (request: OurRequest, scope: Scope) =>
    judge(request.headers["x-service-key"] ?? "", request.state.isSuspect).pipe(
      Effect.catchTags({
        InvalidKey: ({ message }) => unauthorized(message),
        Unavailable: (unavailable) => Effect.zipRight(noteAway(unavailable), cannotLookUp),
        Overloaded: () => cannotLookUp
      }),
      Effect.flatMap((key) => serviceOf(request, key, scope)),
      Effect.map((each) => letIn(request, each.onlyOf ?? "service")(each))
    )
})

export const auth = Layer.effect(
  Auth,
  Effect.zipWith(people, services, (ofPeople, service) => ({ ...ofPeople, service }))
)
