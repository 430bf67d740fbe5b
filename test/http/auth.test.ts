import { createHmac, randomUUID } from "node:crypto"
import { CompactSign, exportSPKI, generateKeyPair, importJWK, SignJWT, UnsecuredJWT } from "jose"
import { describe, expect, test } from "vitest"
import { database } from "../support/database.ts"
import { type AuthService, authService, otherServiceKey, serviceKey, startService } from "./support.ts"

const db = await database()
const auth = await authService()
const service = await startService(db, auth)

const balanceAt = (where: { readonly request: typeof service.request }, authorization: string | undefined) =>
  where.request("GET", "/api/v1/credits/balance", { headers: authorization === undefined ? {} : { authorization } })
const balance = (authorization: string | undefined) => balanceAt(service, authorization)

const now = () => Math.floor(Date.now() / 1000)
const claims = (more: object = {}) => ({
  iss: auth.url,
  aud: "mana",
  sub: "somebody",
  iat: now(),
  exp: now() + 300,
  ...more
})
const base64url = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url")

describe("a person's token", () => {
  test.each([
    ["as it should be", {}],
    ["for several audiences", { aud: ["other", "mana"] }],
    ["expired within the clocks' difference", { exp: now() - 10 }],
    ["without a time of issue", { iat: undefined }],
    ["with a subject of 128 emoji", { sub: "😀".repeat(128) }]
  ])("%s is accepted", async (_what, more) => {
    expect((await balance(`Bearer ${await auth.sign(claims(more))}`)).status).toBe(200)
  })

  test("the scheme may be written in any case", async () => {
    expect((await balance(`bearer ${await auth.token("somebody")}`)).status).toBe(200)
  })

  test.each([
    ["expired", { exp: now() - 60 }],
    ["without expiry", { exp: undefined }],
    ["not valid yet", { nbf: now() + 120 }],
    ["issued in the future", { iat: now() + 120 }],
    ["of another issuer", { iss: "https://evil.example" }],
    ["without an issuer", { iss: undefined }],
    ["for another audience", { aud: "other" }],
    ["without an audience", { aud: undefined }],
    ["without a subject", { sub: undefined }],
    ["with an empty subject", { sub: "" }],
    ["with a subject of 129 characters", { sub: "u".repeat(129) }],
    ["with a NUL in its subject", { sub: "a\0b" }],
    ["with half a surrogate pair in its subject", { sub: "a\ud800" }]
  ])("%s is refused", async (_what, more) => {
    const { status, headers, json } = await balance(`Bearer ${await auth.sign(claims(more))}`)
    expect(status).toBe(401)
    expect(headers.get("content-type")).toBe("application/problem+json")
    expect(headers.get("www-authenticate")).toBe("Bearer")
    expect(json).toMatchObject({ status: 401, code: "unauthorized" })
  })

  test("a number for a subject is refused", async () => {
    const token = await new CompactSign(Buffer.from(JSON.stringify({ ...claims(), sub: 7 })))
      .setProtectedHeader({ alg: "EdDSA", kid: auth.key().kid })
      .sign(auth.key().privateKey)
    expect((await balance(`Bearer ${token}`)).status).toBe(401)
  })

  const forged: ReadonlyArray<readonly [string, () => Promise<string> | string]> = [
    ["without a signature (alg none)", () => new UnsecuredJWT(claims()).encode()],
    [
      "signed with the public key as a shared secret (HS256)",
      async () => {
        const key = await importJWK(auth.key().jwk, "EdDSA")
        const secret = key instanceof Uint8Array ? "" : await exportSPKI(key)
        const signed = `${base64url({ alg: "HS256", kid: auth.key().kid })}.${base64url(claims())}`
        return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`
      }
    ],
    [
      "signed by a stranger under our key's id",
      async () => {
        const { privateKey } = await generateKeyPair("EdDSA")
        return new SignJWT(claims()).setProtectedHeader({ alg: "EdDSA", kid: auth.key().kid }).sign(privateKey)
      }
    ],
    [
      "that brings its own key",
      async () => {
        const { privateKey } = await generateKeyPair("EdDSA")
        const jwk = auth.key().jwk
        return new SignJWT(claims()).setProtectedHeader({ alg: "EdDSA", jwk }).sign(privateKey)
      }
    ],
    [
      "of an algorithm that isn't ours (ES256)",
      async () => {
        const { privateKey } = await generateKeyPair("ES256")
        return new SignJWT(claims()).setProtectedHeader({ alg: "ES256", kid: auth.key().kid }).sign(privateKey)
      }
    ],
    [
      "with changed claims",
      async () => {
        const [header = "", , signature = ""] = (await auth.sign(claims())).split(".")
        return `${header}.${base64url(claims({ sub: "somebody else" }))}.${signature}`
      }
    ],
    [
      "with a changed signature",
      async () =>
        (await auth.sign(claims())).replace(/\.(.)([^.]*)$/, (_, first, rest) => `.${first === "A" ? "B" : "A"}${rest}`)
    ],
    [
      "with a critical header nobody knows",
      async () => {
        const [, payload = "", signature = ""] = (await auth.sign(claims())).split(".")
        return `${base64url({ alg: "EdDSA", kid: "first", crit: ["x"], x: 1 })}.${payload}.${signature}`
      }
    ],
    ["that is none", () => "nonsense"],
    ["of three empty parts", () => ".."],
    ["of 8 KiB", () => "a".repeat(8000)]
  ]
  test.each(forged)("one %s is refused", async (_what, make) => {
    expect(await balance(`Bearer ${await make()}`)).toMatchObject({ status: 401, json: { code: "unauthorized" } })
  })

  test.each([
    ["nothing", undefined],
    ["an empty credential", "Bearer "],
    ["Basic", "Basic dXNlcjpwYXNz"],
    ["Basic as long as Bearer, with a good token", "Beares "],
    ["two words", "Bearer a b"]
  ])("%s is refused", async (_what, authorization) => {
    const token = authorization === "Beares " ? await auth.token("somebody") : ""
    expect((await balance(authorization === undefined ? undefined : authorization + token)).status).toBe(401)
  })

  test("a person's token doesn't open the internal routes", async () => {
    const answer = await service.request("GET", "/api/v1/internal/credits/balance/x", {
      headers: { authorization: `Bearer ${await auth.token("x", { role: "admin" })}` }
    })
    expect(answer).toMatchObject({ status: 401, json: { code: "unauthorized" } })
  })
})

describe("the auth service's keys", () => {
  const startWith = async () => {
    const own = await authService()
    return { own, started: await startService(db, own) }
  }
  const ask = async (own: AuthService, started: Awaited<ReturnType<typeof startService>>, header = {}) =>
    (
      await balanceAt(
        started,
        `Bearer ${await own.sign({ iss: own.url, aud: "mana", sub: "u", exp: now() + 300 }, header)}`
      )
    ).status

  test("are asked for once, whatever comes", async () => {
    const { own, started } = await startWith()
    await Promise.all(Array.from({ length: 20 }, () => ask(own, started)))
    expect(own.timesAsked()).toBe(1)
  })

  test("are asked for again when one is new, and the old one is out", async () => {
    const { own, started } = await startWith()
    const old = await own.token("u")
    expect(await ask(own, started)).toBe(200)
    await own.rotate("second")
    expect(await ask(own, started)).toBe(200)
    expect((await balanceAt(started, `Bearer ${old}`)).status).toBe(401)
  })

  test("are not asked for as often as strangers invent key ids", async () => {
    const { own, started } = await startWith()
    for (let n = 0; n < 20; n++) expect(await ask(own, started, { kid: randomUUID() })).toBe(401)
    expect(own.timesAsked()).toBeLessThan(10)
    expect(await ask(own, started)).toBe(200)
  })

  test("that are known are good while the auth service is away; of others nobody can say", async () => {
    const { own, started } = await startWith()
    expect(await ask(own, started)).toBe(200)
    own.goAway()
    expect(await ask(own, started)).toBe(200)
    expect(await ask(own, started, { kid: "unknown" })).toBe(503)
    expect(await ask(own, started)).toBe(200)
    own.comeBack()
    expect(await ask(own, started, { kid: "unknown" })).toBe(401)
  })

  test("that were never seen make tokens wait", async () => {
    const { own, started } = await startWith()
    own.goAway()
    const answer = await balanceAt(started, `Bearer ${await own.token("u")}`)
    expect(answer).toMatchObject({ status: 503, json: { code: "unavailable" } })
    expect(answer.headers.get("retry-after")).toBe("5")
    // A token that can't be good whatever the keys are isn't made to wait.
    expect((await balanceAt(started, "Bearer nonsense")).status).toBe(401)
    own.comeBack()
    expect(await ask(own, started)).toBe(200)
  })
})

describe("a service key", () => {
  const init = (headers: Readonly<Record<string, string>>) =>
    service.request("POST", "/api/v1/internal/credits/init", { headers, body: { userId: "somebody" } })

  test.each([serviceKey, otherServiceKey])("%s opens the internal routes", async (key) => {
    expect((await init({ "x-service-key": key })).status).toBe(200)
  })

  test.each([
    ["no key", {}],
    ["an empty key", { "x-service-key": "" }],
    ["another key", { "x-service-key": "wrong" }],
    ["the beginning of a key", { "x-service-key": serviceKey.slice(0, -1) }],
    ["more than a key", { "x-service-key": `${serviceKey}x` }],
    ["two keys", { "x-service-key": `${serviceKey}, ${otherServiceKey}` }],
    ["a key for a token", { authorization: `Bearer ${serviceKey}` }]
  ])("%s doesn't, and nothing is written", async (_what, headers) => {
    const before = await db.books()
    expect(await init(headers)).toMatchObject({ status: 401, json: { code: "unauthorized" } })
    expect(await db.books()).toEqual(before)
  })

  test("doesn't open a person's routes", async () => {
    const answer = await service.request("GET", "/api/v1/credits/balance", { headers: { "x-service-key": serviceKey } })
    expect(answer.status).toBe(401)
  })
})
