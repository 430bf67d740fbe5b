/** A person's token: verified, and what it says about them. */
import { Data, Effect, Schema } from "effect"
import { errors, jwtVerify, type JWTPayload } from "jose"
import { type User } from "../contract/auth.ts"
import { userId } from "../contract/fields.ts"
import { KeysUnavailable, remoteKeySet } from "./key-set.ts"

/** Says to the caller what is wrong with their token, and nothing that helps to forge one. */
export class InvalidToken extends Data.TaggedError("InvalidToken")<{
  readonly message: string
  /** Good but for its time. */
  readonly isExpired: boolean
}> {}

/** The keys to judge a token by can't be had. */
export class CannotVerify extends Data.TaggedError("CannotVerify")<{ readonly cause: unknown }> {}

export interface TokenSettings {
  readonly authUrl: string
  readonly jwtAlgorithms: ReadonlyArray<string>
}

export interface VerifiedUser extends User {
  readonly isAdmin: boolean
}

const audience = "mana"
/** How far the auth service's clock and ours may differ, in seconds. */
const clockTolerance = 30

const isUserId = Schema.is(userId)

const textOf = (value: unknown) => (typeof value === "string" && value !== "" ? value : undefined)

const invalid = (message: string, isExpired = false) => new InvalidToken({ message, isExpired })

const userOf = (payload: JWTPayload): Effect.Effect<VerifiedUser, InvalidToken> => {
  if (!isUserId(payload.sub)) return invalid("The token's subject is no user id.")
  if (payload.iat !== undefined && payload.iat > Date.now() / 1000 + clockTolerance) {
    return invalid("The token was issued in the future.")
  }
  return Effect.succeed({
    userId: payload.sub,
    email: textOf(payload["email"]),
    emailVerified: payload["email_verified"] === undefined ? undefined : payload["email_verified"] === true,
    name: textOf(payload["name"]),
    isAdmin: payload["role"] === "admin"
  })
}

const judged = (error: unknown): Effect.Effect<never, InvalidToken | CannotVerify> => {
  if (error instanceof KeysUnavailable) return new CannotVerify({ cause: error })
  if (error instanceof errors.JWTExpired) return invalid("The token has expired. Sign in again.", true)
  if (error instanceof errors.JWTClaimValidationFailed) return invalid(`The token's ${error.claim} is not accepted.`)
  if (error instanceof errors.JOSEError) return invalid("The token is not valid.")
  return Effect.die(error)
}

/** Makes the function that verifies tokens, with a key set of its own. */
export const tokenVerifier = (settings: TokenSettings) => {
  const keys = remoteKeySet(`${settings.authUrl}/api/auth/jwks`)
  const options = {
    issuer: settings.authUrl,
    audience,
    algorithms: [...settings.jwtAlgorithms],
    requiredClaims: ["sub", "exp"],
    clockTolerance
  }
  return (token: string): Effect.Effect<VerifiedUser, InvalidToken | CannotVerify> =>
    Effect.tryPromise({ try: () => jwtVerify(token, keys, options), catch: (error) => error }).pipe(
      Effect.catch(judged),
      Effect.flatMap(({ payload }) => userOf(payload))
    )
}
