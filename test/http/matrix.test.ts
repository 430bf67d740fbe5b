/**
 * Who gets in where: every operation of the contract with every kind of credential. Operations come from the contract;
 * one that asks for no credential has to be named here.
 */
import { createHmac } from "node:crypto"
import * as http from "node:http"
import { Option, Redacted } from "effect"
import { CompactEncrypt, exportJWK, exportSPKI, generateKeyPair, importJWK, SignJWT } from "jose"
import { afterAll, expect, test } from "vitest"
import { makeSecret } from "../../src/auth/service-keys.ts"
import { Scope } from "../../src/contract/scopes.ts"
import { database } from "../support/database.ts"
import { given } from "../support/gifts.ts"
import { createKey } from "../support/service-keys.ts"
import { type Access, type Ask, exampleOf, type Operation, operationIds, operations } from "./operations.ts"
import { codeOf, sender } from "./sender.ts"
import { authService, otherServiceKey, serviceKey, startService } from "./support.ts"

const db = await database()
const auth = await authService()
const webhookSecret = "whsec_of_the_matrix"
const service = await startService(db, auth, {
  settings: {
    stripe: Option.some({ secretKey: Redacted.make("sk_test_nobody"), webhookSecrets: [Redacted.make(webhookSecret)] })
  }
})
const send = sender(service.port)

/** Those that let in whoever comes. `signed`: the signature over the body is the credential. */
const withoutCredential: Readonly<Record<string, "anybody" | "signed">> = {
  "credits.pricing": "anybody",
  "purchases.packages": "anybody",
  "gifts.lookUp": "anybody",
  "webhooks.stripe": "signed",
  "health.health": "anybody",
  "health.ready": "anybody"
}

test("every operation of the contract is in the document, and those that are open are known to be", () => {
  expect(operations.map(({ id }) => id).toSorted()).toEqual([...operationIds].toSorted())
  expect(
    operations
      .filter(({ access }) => access === "open")
      .map(({ id }) => id)
      .toSorted()
  ).toEqual(Object.keys(withoutCredential).toSorted())
})

// Whatever would be written were somebody let in: a user with credits, a hold, a gift, a charge.
const userId = await db.userWith(100_000)
const { gift } = await given(db, 10)
const reservation = await db.call("credits.reserve", { userId, amount: 5, reason: "matrix" })
const charge = await db.call("credits.use", { userId, amount: 5, appId: "matrix", description: "matrix" })
const known = {
  userId,
  amount: 1,
  code: gift.code,
  id: gift.id,
  reservationId: reservation.reservationId,
  transactionId: charge.transaction.id,
  email: "somebody@example.com"
}

/** Whom a credential makes its bearer; a list is the scopes of an app's service key. */
type Grant = "nothing" | "user" | "admin" | "service" | ReadonlyArray<Scope>

interface Credential {
  readonly what: string
  readonly grant: Grant
  readonly headers: NonNullable<Ask["headers"]>
  readonly query?: string
}

const now = () => Math.floor(Date.now() / 1000)
const claims = (more: object = {}) => ({
  iss: auth.url,
  aud: "mana",
  sub: userId,
  iat: now(),
  exp: now() + 300,
  ...more
})
const part = (value: unknown) =>
  Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url")
const { kid, privateKey, jwk } = auth.key()
const header = (more: object = {}) => ({ alg: "EdDSA", kid, ...more })

const good = await auth.token(userId)
const [goodHeader = "", goodPayload = "", goodSignature = ""] = good.split(".")
const signature = Buffer.from(goodSignature, "base64url")

/** Signed by the auth service, whatever the claims are. */
const signed = (more: object) => auth.sign({ ...claims(), ...more })

const stranger = await generateKeyPair("EdDSA", { extractable: true })
const strangersJwk = await exportJWK(stranger.publicKey)
/** Signed by a stranger; the header says what they like. */
const forged = (more: { readonly [name: string]: unknown } = {}) =>
  new SignJWT(claims()).setProtectedHeader(header(more)).sign(stranger.privateKey, { crit: { x: true } })

const publicKey = await importJWK(jwk, "EdDSA")
if (publicKey instanceof Uint8Array) throw new Error("the auth service's key is no public key")
const pem = await exportSPKI(publicKey)
/** With the public key for a shared secret, in one of the forms that a careless library takes. */
const confused = (alg: "HS256" | "HS384" | "HS512", secret: string | Buffer) => {
  const text = `${part(header({ alg }))}.${part(claims())}`
  return `${text}.${createHmac(alg.replace("HS", "sha"), secret).update(text).digest("base64url")}`
}

/** The same signature in another writing: S + L, which a verifier must not take (RFC 8032, 5.1.7). */
const malleable = () => {
  const order = 2n ** 252n + 27742317777372353535851937790883648493n
  const s = BigInt(`0x${Buffer.from(signature.subarray(32)).reverse().toString("hex")}`) + order
  const bytes = Buffer.from(s.toString(16).padStart(64, "0"), "hex").reverse()
  return `${goodHeader}.${goodPayload}.${Buffer.concat([signature.subarray(0, 32), bytes]).toString("base64url")}`
}

const encrypted = await new CompactEncrypt(Buffer.from(good))
  .setProtectedHeader({ alg: "dir", enc: "A256GCM", cty: "JWT" })
  .encrypt(Buffer.alloc(32))

/** A server of the attacker's, with the attacker's keys. Nobody may ask it. */
let askedOfAttacker = 0
const attacker = http.createServer((_, response) => {
  askedOfAttacker += 1
  response.writeHead(200, { "content-type": "application/json" })
  response.end(JSON.stringify({ keys: [{ ...strangersJwk, kid, alg: "EdDSA" }] }))
})
await new Promise<void>((resolve) => attacker.listen(0, "127.0.0.1", resolve))
afterAll(() => new Promise<void>((resolve) => attacker.close(() => resolve())))
const address = attacker.address()
const attackersKeys = `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}/jwks`

// Keys of the table: one for each scope, one with all of them, and those that were good once.
const revoked = await createKey(db)
await db.rows("ops.revoke_service_key", { key: revoked.prefix, who: "Ada" }, "mana_ops")
const expired = await createKey(db, { now: new Date("2026-01-01"), expiresAt: new Date("2026-01-02") })
const chat = await createKey(db)
const scoped = await Promise.all(
  Scope.literals.map(async (scope) => ({ scope, ...(await createKey(db, { scopes: [scope] })) }))
)
// When a key was last used is noted once a minute: now, so that no refused request is seen to write.
await Promise.all(
  [chat, ...scoped].map(({ secret }) =>
    send({
      method: "GET",
      path: "/api/v1/internal/credits/balance/nobody",
      headers: { "x-service-key": secret }
    })
  )
)
const prefixed = (secret: string) => secret.slice(0, "mana_12345678_".length)

const badTokens: Readonly<Record<string, string>> = {
  "an expired token": await signed({ exp: now() - 60 }),
  "a token that expired in 1970": await signed({ exp: 0 }),
  "a token not valid yet": await signed({ nbf: now() + 120 }),
  "a token issued in the future": await signed({ iat: now() + 120 }),
  "a token of another issuer": await signed({ iss: "https://evil.example" }),
  "a token of an issuer that begins like ours": await signed({ iss: `${auth.url}.evil.example` }),
  "a token without an issuer": await signed({ iss: undefined }),
  "a token for another audience": await signed({ aud: "other" }),
  "a token for an audience in capitals": await signed({ aud: "MANA" }),
  "a token for no audience": await signed({ aud: [] }),
  "a token without an audience": await signed({ aud: undefined }),
  "a token without expiry": await signed({ exp: undefined }),
  "a token without a subject": await signed({ sub: undefined }),
  "a token with an empty subject": await signed({ sub: "" }),
  "a token with a subject of 129 characters": await signed({ sub: "u".repeat(129) }),
  "a token with NUL in its subject": await signed({ sub: `${userId}\0` }),
  "a token with half a surrogate pair in its subject": await signed({ sub: "a\ud800" }),
  ...Object.fromEntries(
    await Promise.all(
      [
        { sub: 7 },
        { sub: [userId] },
        { sub: { id: userId } },
        { sub: null },
        { sub: true },
        { exp: "9999999999" },
        { exp: null },
        { nbf: "0" },
        { iss: [auth.url] },
        { aud: { mana: true } },
        { iat: "yesterday" }
      ].map(
        async (more) => [`a token with ${JSON.stringify(more)}`, await rawlySigned({ ...claims(), ...more })] as const
      )
    )
  ),
  ...Object.fromEntries(
    ["none", "None", "NONE", "nOnE", "", " none"].flatMap((alg) => [
      [`alg "${alg}" without a signature`, `${part(header({ alg }))}.${part(claims())}.`],
      [`alg "${alg}" with a good token's signature`, `${part(header({ alg }))}.${goodPayload}.${goodSignature}`]
    ])
  ),
  "no alg": `${part({ kid })}.${goodPayload}.${goodSignature}`,
  "alg twice, the second none": `${part(`{"alg":"EdDSA","kid":"${kid}","alg":"none"}`)}.${goodPayload}.`,
  "alg twice, the first none": `${part(`{"alg":"none","kid":"${kid}","alg":"EdDSA"}`)}.${goodPayload}.${goodSignature}`,
  "HS256 with the public key's bytes": confused("HS256", Buffer.from(jwk.x ?? "", "base64url")),
  "HS256 with the public key in base64url": confused("HS256", jwk.x ?? ""),
  "HS256 with the public key as PEM": confused("HS256", pem),
  "HS256 with the public key as PEM with a last line break": confused("HS256", `${pem}\n`),
  "HS256 with the public key as JWK": confused("HS256", JSON.stringify(jwk)),
  "HS256 with an empty secret": confused("HS256", ""),
  "HS512 with the public key as PEM": confused("HS512", pem),
  "an algorithm that isn't ours": await (async () => {
    const pair = await generateKeyPair("ES256")
    return new SignJWT(claims()).setProtectedHeader({ alg: "ES256", kid }).sign(pair.privateKey)
  })(),
  "a stranger's key under our key's id": await forged(),
  "a stranger's key under an id of its own": await forged({ kid: "strangers" }),
  "a stranger's key under no id": await new SignJWT(claims())
    .setProtectedHeader({ alg: "EdDSA" })
    .sign(stranger.privateKey),
  "a stranger's key in jwk": await forged({ jwk: strangersJwk }),
  "a stranger's key in jwk, with no id": await new SignJWT(claims())
    .setProtectedHeader({ alg: "EdDSA", jwk: strangersJwk })
    .sign(stranger.privateKey),
  "a stranger's key at jku": await forged({ jku: attackersKeys }),
  "a stranger's key at jku, under an id of its own": await forged({ jku: attackersKeys, kid: "strangers" }),
  "a stranger's key at x5u": await forged({ x5u: attackersKeys }),
  "a stranger's key in x5c": await forged({ x5c: [pem.split("\n").slice(1, -2).join("")] }),
  "an id of a key that is a path": await forged({ kid: "../../../../../../dev/null" }),
  "an id of a key that is an address": await forged({ kid: attackersKeys }),
  "an id of a key that is SQL": await forged({ kid: "' or 1=1; --" }),
  "an id of a key that every object has": await forged({ kid: "__proto__" }),
  "an id of a key that is a function": await forged({ kid: "constructor" }),
  "an id of a key that is no text": `${part({ alg: "EdDSA", kid: { $ne: null } })}.${goodPayload}.${goodSignature}`,
  "a critical header nobody knows": await forged({ crit: ["x"], x: 1 }),
  "a critical header nobody knows, on a good signature": `${part(header({ crit: ["x"], x: 1 }))}.${goodPayload}.${goodSignature}`,
  "a payload said not to be encoded": `${part(header({ b64: false, crit: ["b64"] }))}.${JSON.stringify(claims())}.${goodSignature}`,
  "another subject under a good signature": `${goodHeader}.${part(claims({ sub: "somebody else" }))}.${goodSignature}`,
  "a role put in under a good signature": `${goodHeader}.${part(claims({ role: "admin" }))}.${goodSignature}`,
  "a later expiry under a good signature": `${goodHeader}.${part(claims({ exp: now() + 9999 }))}.${goodSignature}`,
  "claims twice under a good signature": `${goodHeader}.${part(`{"sub":"x",${JSON.stringify(claims()).slice(1)}`)}.${goodSignature}`,
  "a signature cut short": `${goodHeader}.${goodPayload}.${goodSignature.slice(0, 40)}`,
  "a signature one byte short": `${goodHeader}.${goodPayload}.${signature.subarray(0, 63).toString("base64url")}`,
  "a signature one byte too long": `${goodHeader}.${goodPayload}.${Buffer.concat([signature, Buffer.alloc(1)]).toString("base64url")}`,
  "an empty signature": `${goodHeader}.${goodPayload}.`,
  "no signature": `${goodHeader}.${goodPayload}`,
  "a signature of zeros": `${goodHeader}.${goodPayload}.${Buffer.alloc(64).toString("base64url")}`,
  "a signature with one bit changed": `${goodHeader}.${goodPayload}.${Buffer.from(signature.map((byte, at) => (at === 5 ? byte ^ 1 : byte))).toString("base64url")}`,
  "a signature in another writing": malleable(),
  "a signature of another token": `${goodHeader}.${goodPayload}.${(await auth.token("somebody else")).split(".")[2]}`,
  "a token within a token": await forged({ cty: "JWT" }),
  "an encrypted token": encrypted,
  "a token in JSON": JSON.stringify({ protected: goodHeader, payload: goodPayload, signature: goodSignature }),
  "a token with a fourth part": `${good}.${goodSignature}`,
  "a token twice": `${good},${good}`,
  "a token with something after it": `${good} x`,
  "a token percent-encoded": good.replaceAll(".", "%2E"),
  "a header that is no JSON": `${part("nonsense")}.${goodPayload}.${goodSignature}`,
  "a header that is null": `${part("null")}.${goodPayload}.${goodSignature}`,
  "a payload that is a list": await rawlySigned([claims()]),
  "a payload that is no JSON": await rawlySigned("nonsense"),
  "three empty parts": "..",
  nonsense: "nonsense",
  "8,000 characters": "a".repeat(8000),
  "a service key": serviceKey,
  null: "null",
  undefined: "undefined"
}

/** Signed by the auth service, though no library would make it. */
async function rawlySigned(payload: unknown) {
  const text = `${part(header())}.${part(payload)}`
  const bytes = await crypto.subtle.sign("Ed25519", privateKey, Buffer.from(text))
  return `${text}.${Buffer.from(bytes).toString("base64url")}`
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
const nothing = (what: string, headers: Credential["headers"], query?: string): Credential => ({
  what,
  grant: "nothing",
  headers,
  ...(query === undefined ? {} : { query })
})
const basic = (name: string, password: string) => `Basic ${Buffer.from(`${name}:${password}`).toString("base64")}`

const credentials: ReadonlyArray<Credential> = [
  nothing("nothing", {}),
  ...Object.entries(badTokens).map(([what, token]) => nothing(what, bearer(token))),
  nothing("a good token in the query", {}, `access_token=${good}`),
  nothing("a good token in the query, by another name", {}, `token=${good}&authorization=Bearer%20${good}`),
  nothing("a good token in a cookie", { cookie: `token=${good}; authorization=Bearer ${good}` }),
  nothing("a good token for a proxy", { "proxy-authorization": `Bearer ${good}` }),
  nothing("a good token in another header", { "x-authorization": `Bearer ${good}`, "x-forwarded-user": userId }),
  nothing("a good token without a scheme", { authorization: good }),
  nothing("a good token for Basic", { authorization: basic(userId, good) }),
  nothing("a good token of the scheme Token", { authorization: `Token ${good}` }),
  nothing("a good token of a scheme as long as Bearer", { authorization: `Beares ${good}` }),
  nothing("a good token glued to its scheme", { authorization: `Bearer${good}` }),
  nothing("an empty Authorization", { authorization: "" }),
  nothing("a scheme alone", { authorization: "Bearer" }),
  nothing("two Authorization headers, a bad one first", { authorization: ["Bearer x", `Bearer ${good}`] }),
  nothing("two Authorization headers, a good one first", { authorization: [`Bearer ${good}`, "Bearer x"] }),
  nothing("a user and a password", { authorization: basic("postgres", "postgres") }),
  nothing("an empty service key", { "x-service-key": "" }),
  nothing("a wrong service key", { "x-service-key": "wrong" }),
  nothing("a service key in capitals", { "x-service-key": serviceKey.toUpperCase() }),
  nothing("a service key cut short", { "x-service-key": serviceKey.slice(0, -1) }),
  nothing("a service key with more", { "x-service-key": `${serviceKey}x` }),
  nothing("both service keys in one", { "x-service-key": `${serviceKey},${otherServiceKey}` }),
  nothing("two service key headers", { "x-service-key": [serviceKey, serviceKey] }),
  nothing("a service key in the query", {}, `x-service-key=${serviceKey}&serviceKey=${serviceKey}`),
  nothing("a service key in another header", { "x-api-key": serviceKey, x_service_key: serviceKey }),
  nothing("a service key in a cookie", { cookie: `x-service-key=${serviceKey}` }),
  nothing("an app's name alone", { "x-app-id": "chat" }),
  nothing("a revoked key of an app", { "x-service-key": revoked.secret }),
  nothing("an expired key of an app", { "x-service-key": expired.secret }),
  nothing("a key that nobody made", { "x-service-key": makeSecret().secret }),
  nothing("the prefix of an app's key", { "x-service-key": prefixed(chat.secret) }),
  nothing("the prefix of an app's key and another secret", {
    "x-service-key": `${prefixed(chat.secret)}${makeSecret().secret.slice(-43)}`
  }),
  nothing("an app's key with another prefix", {
    "x-service-key": `${prefixed(revoked.secret)}${chat.secret.slice(-43)}`
  }),
  nothing("the hash of an app's key", { "x-service-key": chat.hash.slice(2) }),
  nothing("the id of an app's key", { "x-service-key": chat.id }),
  nothing("an app's key in capitals", { "x-service-key": chat.secret.toUpperCase() }),
  nothing("an app's key for a token", bearer(chat.secret)),
  nothing("two keys of apps", { "x-service-key": [chat.secret, scoped[0]?.secret ?? ""] }),
  ...scoped.map(({ scope, secret }): Credential => ({
    what: `an app's key for ${scope}`,
    grant: [scope],
    headers: { "x-service-key": secret, "x-app-id": "chat" }
  })),
  { what: "an app's key for everything", grant: Scope.literals, headers: { "x-service-key": chat.secret } },
  {
    what: "an app's key that names another app",
    grant: [],
    headers: { "x-service-key": chat.secret, "x-app-id": "other" }
  },
  nothing("a token for a service key", { "x-service-key": good }),
  { what: "a service key", grant: "service", headers: { "x-service-key": serviceKey } },
  { what: "the service key before it", grant: "service", headers: { "x-service-key": otherServiceKey } },
  {
    what: "a service key beside a bad token",
    grant: "service",
    headers: { "x-service-key": serviceKey, ...bearer("x") }
  },
  { what: "a person", grant: "user", headers: bearer(good) },
  { what: "a person, the scheme in small letters", grant: "user", headers: { authorization: `bearer ${good}` } },
  { what: "a person beside a bad service key", grant: "user", headers: { "x-service-key": "wrong", ...bearer(good) } },
  { what: "another person", grant: "user", headers: bearer(await auth.token("somebody else")) },
  { what: "an administrator", grant: "admin", headers: bearer(await auth.token(userId, { role: "admin" })) },
  ...(await Promise.all(
    [
      { role: "Admin" },
      { role: "admin " },
      { role: ["admin"] },
      { role: { admin: true } },
      { role: true },
      { roles: ["admin"], admin: true, isAdmin: true },
      { scope: "admin" }
    ].map(async (more): Promise<Credential> => ({
      what: `a person with ${JSON.stringify(more)}`,
      grant: "user",
      headers: bearer(await auth.token(userId, more))
    }))
  ))
]

const letsIn: Readonly<Record<Access, ReadonlyArray<string>>> = {
  open: ["nothing", "user", "admin", "service"],
  user: ["user", "admin"],
  admin: ["admin"],
  service: ["service"]
}

/** Status and code that a refusal has; undefined where the credential opens the door. */
const refusal = ({ access, scope }: Operation, grant: Grant) => {
  if (typeof grant !== "string") {
    if (access === "open" || (access === "service" && scope !== undefined && grant.includes(scope))) return undefined
    return access === "service" ? "403 forbidden" : "401 unauthorized"
  }
  if (letsIn[access].includes(grant)) return undefined
  return access === "admin" && grant === "user" ? "403 forbidden" : "401 unauthorized"
}

const request = (operation: Operation, { headers, query }: Credential): Ask => {
  const ask = exampleOf(operation, known)
  return {
    ...ask,
    path: query === undefined ? ask.path : `${ask.path}?${query}`,
    headers: { ...ask.headers, ...headers }
  }
}

/** Every credential at one operation, all at once: what each came to. */
const tried = (operation: Operation, which: ReadonlyArray<Credential>) =>
  Promise.all(which.map(async (credential) => ({ ...credential, answer: await send(request(operation, credential)) })))

test("there are operations and attacks to try", () => {
  expect(operations.length).toBeGreaterThan(30)
  expect(Object.keys(badTokens).length).toBeGreaterThan(80)
  expect(new Set(Object.values(badTokens)).size).toBe(Object.keys(badTokens).length)
})

test.each(operations.filter(({ access }) => access !== "open"))(
  "$method $path refuses whoever may not, and writes nothing",
  async (operation) => {
    const before = await db.books()
    const refused = credentials.filter(({ grant }) => refusal(operation, grant) !== undefined)
    const answers = await tried(operation, refused)
    const told = answers.map(({ what, answer }) => [what, `${answer.status} ${String(codeOf(answer))}`])
    expect(Object.fromEntries(told)).toEqual(
      Object.fromEntries(refused.map(({ what, grant }) => [what, refusal(operation, grant)]))
    )
    for (const { what, answer } of answers) {
      expect(answer.headers["content-type"], what).toBe("application/problem+json")
      const challenge = operation.access !== "service" && answer.status === 401 ? "Bearer" : undefined
      expect(answer.headers["www-authenticate"], what).toBe(challenge)
    }
    expect(await db.books()).toEqual(before)
  }
)

const isSigned = ({ id }: Operation) => withoutCredential[id] === "signed"

test.each(operations.filter((each) => !isSigned(each)))("$method $path lets in whoever may", async (operation) => {
  const welcome = credentials.filter(({ grant }) => refusal(operation, grant) === undefined)
  // Where anybody may, what they bring makes no difference: a few are enough.
  const some = operation.access === "open" ? welcome.filter((_, index) => index % 10 === 0) : welcome
  for (const { what, answer } of await tried(operation, some)) {
    expect(["unauthorized", "forbidden", "invalid_request", "internal_error"], what).not.toContain(codeOf(answer))
    expect(Object.keys(operation.answers), what).toContain(String(answer.status))
  }
})

test.each(operations.filter(isSigned))("$method $path takes no credential for a signature", async (operation) => {
  const before = await db.books()
  for (const { what, answer } of await tried(operation, credentials)) {
    expect([answer.status, codeOf(answer)], what).toEqual([400, "invalid_request"])
  }
  expect(await db.books()).toEqual(before)
})

const stripeEvent = JSON.stringify({
  id: "evt_matrix",
  object: "event",
  api_version: "2026-10-28.endive",
  created: 1,
  livemode: false,
  type: "customer.updated",
  data: { object: { id: "cus_matrix", object: "customer" } }
})
const stripeSignature = (at: number, secret: string, body = stripeEvent) =>
  `t=${at},v1=${createHmac("sha256", secret).update(`${at}.${body}`).digest("hex")}`

test("what is signed is let in by its signature alone", async () => {
  const post = async (signatures: ReadonlyArray<string>) => {
    const answer = await send({
      method: "POST",
      path: "/api/v1/webhooks/stripe",
      headers: {
        "content-type": "application/json",
        ...(signatures.length === 0 ? {} : { "stripe-signature": signatures })
      },
      body: stripeEvent
    })
    return `${answer.status} ${String(codeOf(answer))}`
  }
  const before = await db.books()
  const v1 = stripeSignature(now(), webhookSecret)
  const refused: Readonly<Record<string, ReadonlyArray<string>>> = {
    none: [],
    empty: [""],
    "another secret": [stripeSignature(now(), "whsec_wrong")],
    "an empty secret": [stripeSignature(now(), "")],
    "another body": [stripeSignature(now(), webhookSecret, `${stripeEvent} `)],
    "too old": [stripeSignature(now() - 301, webhookSecret)],
    "from the future": [stripeSignature(now() + 302, webhookSecret)],
    "another time than was signed": [v1.replace(/t=\d+/, `t=${now() - 1}`)],
    "another scheme": [v1.replace("v1=", "v0=")],
    "no time": [v1.replace(/t=\d+,/, "")],
    "a time that is none": [v1.replace(/t=\d+/, "t=NaN")],
    "cut short": [v1.slice(0, -2)],
    nonsense: ["nonsense"]
  }
  const told = await Promise.all(Object.entries(refused).map(async ([what, each]) => [what, await post(each)] as const))
  expect(Object.fromEntries(told)).toEqual(
    Object.fromEntries(Object.keys(refused).map((what) => [what, "400 invalid_request"]))
  )
  expect(await db.books()).toEqual(before)
  expect(await post([v1])).toBe("200 undefined")
})

// The last: it looks back on all of them.
test("nobody asked the attacker for keys, and none of all that was a mistake of ours", () => {
  expect(askedOfAttacker).toBe(0)
  expect(auth.timesAsked()).toBeLessThan(10)
  expect(service.lines.filter((line) => line.includes('"ERROR"'))).toEqual([])
})
