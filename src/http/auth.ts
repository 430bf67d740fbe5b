/** Credentials off the request, judged: the contract's middleware. */
import { HttpServerRequest } from "@effect/platform"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { Effect, Layer } from "effect"
import { serviceKeyCheck } from "../auth/service-keys.ts"
import { tokenVerifier, type VerifiedUser } from "../auth/tokens.ts"
import { AppSettings } from "../config.ts"
import { AdminAuth, ServiceAuth, UserAuth } from "../contract/auth.ts"
import { Forbidden, ServiceUnavailable, Unauthorized } from "../contract/errors.ts"
import { makeProblem } from "../contract/problem.ts"
import { answerHeader, requestState } from "./request-state.ts"

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

const isCalledBy = (caller: string) =>
  Effect.map(requestState, (state) => {
    state.caller = caller
  })

/** Node keeps the first of several and says nothing of the others; a proxy in front of us may have judged another one. */
const isRepeated = (request: HttpServerRequest.HttpServerRequest, name: string) =>
  NodeHttpServerRequest.toIncomingMessage(request).rawHeaders.filter(
    (text, index) => index % 2 === 0 && text.length === name.length && text.toLowerCase() === name
  ).length > 1

// HttpApi slices "Bearer " off without looking whether it is there: the header is read here.
const bearerToken = Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
  const [, token] = /^bearer +(\S+)$/i.exec(request.headers["authorization"] ?? "") ?? []
  return token === undefined || isRepeated(request, "authorization") ? noToken : Effect.succeed(token)
})

type Verify = ReturnType<typeof tokenVerifier>

const signedIn = (verify: Verify) =>
  Effect.flatMap(bearerToken, (token) =>
    Effect.catchTags(verify(token), {
      InvalidToken: ({ message }) => unauthorized(message),
      CannotVerify: () => noKeys
    })
  ).pipe(Effect.tapErrorTag("unauthorized", () => answerHeader("www-authenticate", "Bearer")))

const admin = (user: VerifiedUser) =>
  user.isAdmin ? Effect.succeed(user) : Effect.fail(makeProblem(Forbidden, "This address is for administrators."))

/** One verifier for both: they share its keys. */
const people = Layer.unwrapEffect(
  Effect.map(AppSettings, (settings) => {
    const user = signedIn(tokenVerifier(settings))
    return Layer.merge(
      Layer.succeed(UserAuth, { bearer: () => Effect.zipLeft(user, isCalledBy("user")) }),
      Layer.succeed(AdminAuth, { bearer: () => user.pipe(Effect.flatMap(admin), Effect.zipLeft(isCalledBy("admin"))) })
    )
  })
)

const services = Layer.effect(
  ServiceAuth,
  Effect.map(AppSettings, ({ serviceKeys }) => {
    const isKey = serviceKeyCheck(serviceKeys)
    const check = Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ headers }) =>
      isKey(headers["x-service-key"] ?? "")
        ? isCalledBy("service")
        : unauthorized("This address is for services: it needs a service key in X-Service-Key.")
    )
    return { serviceKey: () => check }
  })
)

export const auth = Layer.merge(people, services)
