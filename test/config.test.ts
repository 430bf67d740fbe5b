import { readFileSync } from "node:fs"
import { describe, expect, it } from "@effect/vitest"
import { ConfigProvider, Effect, Option, Redacted } from "effect"
import { readDevSettings, readSettings } from "../src/config.ts"

const required = {
  DATABASE_URL: "postgres://app:pass@db/credits",
  MANA_AUTH_URL: "https://auth.example/",
  MANA_SERVICE_KEY: "first-key, second-key"
}

const withEnvironment = (environment: Readonly<Record<string, string>>) =>
  Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env: environment }))

const settings = (environment: Readonly<Record<string, string>>) =>
  readSettings.pipe(withEnvironment({ ...required, ...environment }))

const complaint = (environment: Readonly<Record<string, string>>) =>
  Effect.map(Effect.flip(settings(environment)), (error) => error.message)

describe("readSettings", () => {
  it.effect("needs three settings and has a default for the others", () =>
    Effect.gen(function* () {
      const read = yield* settings({})
      expect(read).toMatchObject({
        authUrl: "https://auth.example",
        jwtAlgorithms: ["EdDSA"],
        host: "0.0.0.0",
        port: 3061,
        baseUrl: "http://127.0.0.1:3061",
        corsOrigins: [],
        stripe: Option.none(),
        events: Option.none(),
        appUrl: Option.none(),
        runWorker: true,
        trustProxy: false
      })
      expect(read.logLevel).toBe("Info")
      expect((yield* settings({ LOG_LEVEL: "warning" })).logLevel).toBe("Warn")
      expect(read.serviceKeys.map(Redacted.value)).toEqual(["first-key", "second-key"])
    })
  )

  it.effect("names everything that is missing or malformed in one message", () =>
    Effect.gen(function* () {
      const error = yield* readSettings.pipe(
        withEnvironment({
          DATABASE_URL: "mysql://db",
          MANA_SERVICE_KEY: " ",
          PORT: "http",
          BASE_URL: "nowhere",
          CORS_ORIGINS: "https://app.example/path",
          JWT_ALGORITHMS: "EdDSA,HS256",
          STRIPE_SECRET_KEY: "sk_test_1",
          EVENTS_WEBHOOK_URL: "nowhere",
          EVENTS_WEBHOOK_SECRET: "short",
          LOG_LEVEL: "Warn"
        }),
        Effect.flip
      )
      expect(error.message).toMatchInlineSnapshot(`
        "Settings to correct (.env.example explains each):
          DATABASE_URL must be a postgres:// address, with what is odd in its password percent-encoded
          MANA_AUTH_URL is missing
          JWT_ALGORITHMS must name asymmetric algorithms: EdDSA, ES256, RS256 …
          MANA_SERVICE_KEY is missing
          PORT must be a whole number from 1 to 65535
          BASE_URL must be an http(s):// address, without a user or password
          CORS_ORIGINS must be origins such as https://app.example, commas between, or *
          STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET go together: set both or neither
          EVENTS_WEBHOOK_URL must be an http(s):// address, without a user or password
          EVENTS_WEBHOOK_SECRET must be whsec_ and 24 to 64 bytes in base64
          LOG_LEVEL must be Debug, Info, Warning, Error or None"
      `)
    })
  )

  it.effect("takes origins as browsers send them, however they are written", () =>
    Effect.gen(function* () {
      const { corsOrigins } = yield* settings({ CORS_ORIGINS: "https://App.example/, http://two.example:80,*" })
      expect(corsOrigins).toEqual(["https://app.example", "http://two.example", "*"])
    })
  )

  it.effect("takes no options with the database's address: ours would be lost", () =>
    Effect.gen(function* () {
      const url = `${required.DATABASE_URL}?options=-c%20timezone%3DUTC`
      expect(yield* complaint({ DATABASE_URL: url })).toContain("DATABASE_URL must not name options")
      expect(
        Redacted.value((yield* settings({ DATABASE_URL: `${required.DATABASE_URL}?ssl=true` })).databaseUrl)
      ).toContain("ssl")
    })
  )

  it.effect("takes an empty value for a missing one, and a blank one", () =>
    Effect.gen(function* () {
      expect((yield* settings({ PORT: "\r", HOST: " ", STRIPE_SECRET_KEY: "\r", BASE_URL: "\t" })).port).toBe(3061)
      expect((yield* settings({ PORT: "", STRIPE_SECRET_KEY: "", STRIPE_WEBHOOK_SECRET: "" })).port).toBe(3061)
      expect(yield* complaint({ DATABASE_URL: "" })).toContain("DATABASE_URL is missing")
    })
  )

  it.effect("never repeats a secret", () =>
    Effect.gen(function* () {
      const message = yield* complaint({
        DATABASE_URL: "postgre://app:s3cret@db/credits",
        MANA_SERVICE_KEY: ",",
        STRIPE_SECRET_KEY: "s3cret",
        STRIPE_WEBHOOK_SECRET: "s3cret"
      })
      expect(message).toContain("DATABASE_URL")
      expect(message).not.toContain("s3cret")
      // An address that is shown, linked to or complained of is no place for a password.
      for (const name of ["MANA_AUTH_URL", "BASE_URL", "APP_URL", "EVENTS_WEBHOOK_URL"]) {
        const said = yield* complaint({
          DATABASE_URL: "postgres://app:s3cret@db:99999/credits",
          EVENTS_WEBHOOK_SECRET: "whsec_s3cret",
          [name]: "https://user:s3cret@place.example"
        })
        expect(said).toMatch(new RegExp(`${name} must be an http\\(s\\):// address, without a user or password`))
        expect(said).not.toContain("s3cret")
      }
      expect(String(JSON.stringify(yield* settings({})))).not.toContain("first-key")
    })
  )
})

it.effect(".env.example names the settings that are read, no more and no fewer", () =>
  Effect.gen(function* () {
    const asked = new Set<string>()
    const recorder = ConfigProvider.make((path) =>
      Effect.sync(() => {
        asked.add(path.join("_"))
        return undefined
      })
    )
    yield* Effect.all([Effect.result(readSettings), Effect.result(readDevSettings)]).pipe(
      Effect.provideService(ConfigProvider.ConfigProvider, recorder)
    )
    const documented = readFileSync(new URL("../.env.example", import.meta.url), "utf8").match(/^[A-Z_]+(?==)/gm)
    expect(documented?.toSorted()).toEqual([...asked].toSorted())
  })
)
