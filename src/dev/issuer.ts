/** Plays the auth service in development: signs a token for whoever asks, and shows the key that proves it. */
import { randomUUID } from "node:crypto"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { Data, Effect, Schema } from "effect"
import { calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK, type JWK, SignJWT } from "jose"
import { userId } from "../contract/fields.ts"

export class IssuerError extends Data.TaggedError("IssuerError")<{ readonly message: string }> {}

/** Whom a token is for, in the words of its claims. */
export const Person = Schema.Struct({
  sub: userId,
  email: Schema.optionalKey(Schema.NonEmptyString),
  /** Where there is an email: true unless said otherwise. */
  email_verified: Schema.optionalKey(Schema.Boolean),
  name: Schema.optionalKey(Schema.NonEmptyString),
  role: Schema.optionalKey(Schema.NonEmptyString)
})
export type Person = typeof Person.Type

export interface Issuer {
  readonly jwks: { readonly keys: ReadonlyArray<JWK> }
  readonly token: (person: Person) => Effect.Effect<string>
}

const algorithm = "EdDSA"

/** The key of before, so that tokens outlive a restart; a new one the first time. */
const readKey = async (file: string): Promise<JWK> => {
  const kept = await fs.readFile(file, "utf8").catch(() => undefined)
  if (kept !== undefined) return JSON.parse(kept)
  const { privateKey } = await generateKeyPair(algorithm, { extractable: true })
  const key = await exportJWK(privateKey)
  await fs.mkdir(path.dirname(file), { recursive: true, mode: 0o700 })
  // Beside, then moved into place: whoever reads it reads all of it.
  const beside = `${file}.${randomUUID()}`
  await fs.writeFile(beside, JSON.stringify(key), { mode: 0o600 })
  await fs.rename(beside, file)
  return key
}

/** Issues as `origin`, which is where `jwks` must be found, at /api/auth/jwks. */
export const makeIssuer = (origin: string, keyFile: string) =>
  Effect.tryPromise({
    try: async (): Promise<Issuer> => {
      const key = await readKey(keyFile)
      const kid = await calculateJwkThumbprint(key)
      const { d: _, ...publicKey } = key
      const privateKey = await importJWK(key, algorithm)
      return {
        jwks: { keys: [{ ...publicKey, kid, alg: algorithm, use: "sig" }] },
        token: (person) =>
          Effect.promise(() =>
            new SignJWT({ ...(person.email === undefined ? {} : { email_verified: true }), ...person })
              .setProtectedHeader({ alg: algorithm, kid })
              .setIssuer(origin)
              .setAudience("mana")
              .setIssuedAt()
              .setExpirationTime("30 days")
              .sign(privateKey)
          )
      }
    },
    catch: (cause) =>
      new IssuerError({ message: `The development tokens' key ${keyFile} can't be used: ${String(cause)}` })
  })
