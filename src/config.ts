/** Every setting, decoded once from the environment. `.env.example` says the same for people. */
import type { Stripe } from "stripe"
import { Config, ConfigError, Context, Data, Effect, Either, LogLevel, Option, Redacted } from "effect"

export interface Settings {
  readonly databaseUrl: Redacted.Redacted
  /** Connections of the HTTP service; the worker has a few of its own. */
  readonly databaseMaxConnections: number
  /** Origin of the auth service, without a slash at its end: issuer of the tokens and home of the JWKS. */
  readonly authUrl: string
  /** Asymmetric only: a shared secret would let whoever verifies a token also make one. */
  readonly jwtAlgorithms: ReadonlyArray<string>
  /** Any of them opens the internal routes; several so that a key can be rotated. Never empty. */
  readonly serviceKeys: ReadonlyArray<Redacted.Redacted>
  /** Address to listen on. */
  readonly host: string
  readonly port: number
  /** Where clients reach us, without a slash at its end. */
  readonly baseUrl: string
  /** Browser origins that may call us. Empty: none. */
  readonly corsOrigins: ReadonlyArray<string>
  /** Of the app in which people redeem gifts and return from a payment, without a slash at its end. */
  readonly appUrl: Option.Option<string>
  /** Without it payments answer 503 and everything else works. */
  readonly stripe: Option.Option<StripeSettings>
  /** Who is told what happens. Without it events are kept and nobody is told. */
  readonly events: Option.Option<EventsSettings>
  /** Whether `serve` works off the queue too; else somebody runs `worker`. */
  readonly runWorker: boolean
  /** Whether X-Forwarded-For is a proxy's word and not the caller's own. */
  readonly trustProxy: boolean
  readonly logLevel: LogLevel.LogLevel
}

export interface StripeSettings {
  readonly secretKey: Redacted.Redacted
  /** Any of them signs webhooks; several so that a secret can be rotated. Never empty. */
  readonly webhookSecrets: ReadonlyArray<Redacted.Redacted>
  /** Where the API is, if not at Stripe: development and tests have one of their own. No setting leads here. */
  readonly connection?: Pick<Stripe.StripeConfig, "host" | "port" | "protocol" | "timeout" | "maxNetworkRetries">
}

export interface EventsSettings {
  readonly url: string
  /** `whsec_…`: the receiver verifies with it that an event is ours (Standard Webhooks). */
  readonly secret: Redacted.Redacted
}

/** What `npm run dev` varies besides; everything else it decides itself or takes from `Settings`. */
export interface DevSettings {
  /** Folder for the embedded PostgreSQL and the token issuer's key. */
  readonly dataDir: string
  /** A server of yours in place of the embedded one. */
  readonly databaseUrl: Option.Option<Redacted.Redacted>
  readonly port: number
}

export class AppSettings extends Context.Tag("mana/AppSettings")<AppSettings, Settings>() {}

/** One message that names every setting that is missing or malformed; no secret is in it. */
export class SettingsError extends Data.TaggedError("SettingsError")<{ readonly message: string }> {}

// An empty variable, or a blank one, counts as missing: that is how compose files and shells leave one out.
const text = (name: string) =>
  Config.string(name).pipe(
    Config.map((value) => value.trim()),
    Config.mapOrFail((value) =>
      value === "" ? Either.left(ConfigError.MissingData([name], `${name} is missing`)) : Either.right(value)
    )
  )

const checked = <A>(name: string, problem: string, decode: (value: string) => Option.Option<A>) =>
  Config.mapAttempt(text(name), (value) => Option.getOrThrowWith(decode(value), () => new Error(`${name} ${problem}`)))

const matching = (name: string, problem: string, accept: (value: string) => boolean) =>
  checked(name, problem, Option.liftPredicate(accept))

const list = (value: string) =>
  value
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "")

/** With a password in it an address is a secret, and addresses get into links, errors and logs. */
const isWeb = ({ protocol, username, password }: URL) =>
  ["http:", "https:"].includes(protocol) && username === "" && password === ""

const httpUrl = (value: string) =>
  Option.fromNullable(URL.parse(value)).pipe(
    Option.filter((url) => isWeb(url) && url.search === "" && url.hash === ""),
    Option.map((url) => url.href.replace(/\/+$/, ""))
  )

const address = (name: string) => checked(name, "must be an http(s):// address, without a user or password", httpUrl)

const whole = (name: string, from: number, to: number) =>
  checked(name, `must be a whole number from ${from} to ${to}`, (value) =>
    Option.some(Number(value)).pipe(
      Option.filter((number) => /^\d{1,9}$/.test(value) && number >= from && number <= to)
    )
  )

const flag = (name: string) =>
  checked(name, "must be true or false", (value) =>
    value === "true" ? Option.some(true) : value === "false" ? Option.some(false) : Option.none()
  )

const asymmetric = /^(EdDSA|Ed25519|(ES|RS|PS)(256|384|512))$/
/** As browsers send it, however it is written; `*` as it is. */
const origin = (value: string) =>
  value === "*" ? Option.some(value) : Option.filter(httpUrl(value), (url) => url === URL.parse(value)?.origin)

const port = whole("PORT", 1, 65535).pipe(Config.withDefault(3061))

const databaseUrl = matching(
  "DATABASE_URL",
  "must be a postgres:// address, with what is odd in its password percent-encoded",
  (value) => /^postgres(ql)?:\/\/./.test(value) && URL.canParse(value)
).pipe(
  Config.mapAttempt((value) => {
    // They would take the place of ours, the role among them.
    if (URL.parse(value)?.searchParams.has("options") === true) {
      throw new Error("DATABASE_URL must not name options: set them for the role or the database in place of that")
    }
    return Redacted.make(value)
  })
)

const serviceKeys = checked("MANA_SERVICE_KEY", "must be one or several keys with commas between", (value) =>
  Option.some(list(value)).pipe(Option.filter((keys) => keys.length > 0))
).pipe(Config.map((keys) => keys.map((key) => Redacted.make(key))))

const jwtAlgorithms = checked("JWT_ALGORITHMS", "must name asymmetric algorithms: EdDSA, ES256, RS256 …", (value) =>
  Option.some(list(value)).pipe(Option.filter((names) => names.length > 0 && names.every((it) => asymmetric.test(it))))
).pipe(Config.withDefault(["EdDSA"]))

const corsOrigins = checked(
  "CORS_ORIGINS",
  "must be origins such as https://app.example, commas between, or *",
  (value) => Option.all(list(value).map(origin))
).pipe(Config.withDefault<ReadonlyArray<string>>([]))

const logLevel = checked("LOG_LEVEL", "must be Debug, Info, Warning, Error or None", (value) =>
  Option.fromNullable(
    [LogLevel.Debug, LogLevel.Info, LogLevel.Warning, LogLevel.Error, LogLevel.None].find(
      (level) => level._tag.toLowerCase() === value.toLowerCase()
    )
  )
).pipe(Config.withDefault(LogLevel.Info))

/** Both or neither: with a key and no webhook secret we would take money and never learn that it arrived. */
const stripe = Config.all({
  secretKey: Config.option(matching("STRIPE_SECRET_KEY", "must start with sk_ or rk_", (key) => /^[sr]k_./.test(key))),
  webhookSecret: Config.option(
    checked("STRIPE_WEBHOOK_SECRET", "must be one or several secrets that start with whsec_, commas between", (value) =>
      Option.some(list(value)).pipe(
        Option.filter((secrets) => secrets.length > 0 && secrets.every((secret) => /^whsec_./.test(secret)))
      )
    )
  )
}).pipe(
  Config.mapAttempt(({ secretKey, webhookSecret }): Option.Option<StripeSettings> => {
    if (Option.isSome(secretKey) !== Option.isSome(webhookSecret)) {
      throw new Error("STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET go together: set both or neither")
    }
    return Option.all({
      secretKey: Option.map(secretKey, Redacted.make),
      webhookSecrets: Option.map(webhookSecret, (secrets) => secrets.map((secret) => Redacted.make(secret)))
    })
  })
)

/** 24 to 64 bytes, as Standard Webhooks asks. */
const isEventsSecret = (secret: string) => {
  const bytes = Buffer.from(secret.replace("whsec_", ""), "base64").length
  return /^whsec_[A-Za-z0-9+/]+=*$/.test(secret) && bytes >= 24 && bytes <= 64
}

/** Both or neither: an event that nobody can verify is worth nothing. */
const events = Config.all({
  url: Config.option(
    matching("EVENTS_WEBHOOK_URL", "must be an http(s):// address, without a user or password", (value) =>
      Option.exists(Option.fromNullable(URL.parse(value)), isWeb)
    )
  ),
  secret: Config.option(
    matching("EVENTS_WEBHOOK_SECRET", "must be whsec_ and 24 to 64 bytes in base64", isEventsSecret)
  )
}).pipe(
  Config.mapAttempt(({ url, secret }): Option.Option<EventsSettings> => {
    if (Option.isSome(url) !== Option.isSome(secret)) {
      throw new Error("EVENTS_WEBHOOK_URL and EVENTS_WEBHOOK_SECRET go together: set both or neither")
    }
    return Option.all({ url, secret: Option.map(secret, Redacted.make) })
  })
)

const settings = Config.all({
  databaseUrl,
  databaseMaxConnections: whole("DATABASE_MAX_CONNECTIONS", 1, 1000).pipe(Config.withDefault(20)),
  authUrl: address("MANA_AUTH_URL"),
  jwtAlgorithms,
  serviceKeys,
  host: text("HOST").pipe(Config.withDefault("0.0.0.0")),
  port,
  baseUrl: Config.all([port, Config.option(address("BASE_URL"))]).pipe(
    Config.map(([number, url]) => Option.getOrElse(url, () => `http://127.0.0.1:${number}`))
  ),
  corsOrigins,
  appUrl: Config.option(address("APP_URL")),
  stripe,
  events,
  runWorker: flag("RUN_WORKER").pipe(Config.withDefault(true)),
  trustProxy: flag("TRUST_PROXY").pipe(Config.withDefault(false)),
  logLevel
})

const problems = (error: ConfigError.ConfigError): ReadonlyArray<string> => {
  switch (error._op) {
    case "And":
    case "Or":
      return [...problems(error.left), ...problems(error.right)]
    case "MissingData":
      return [`${error.path.join("_")} is missing`]
    default:
      return [error.message]
  }
}

const read = <A>(config: Config.Config<A>) =>
  Effect.mapError(
    config,
    (error) =>
      new SettingsError({
        message: ["Settings to correct (.env.example explains each):", ...new Set(problems(error))].join("\n  ")
      })
  )

/** Everything `serve` and `worker` need. */
export const readSettings: Effect.Effect<Settings, SettingsError> = read(settings)

/** All that `migrate`, `verify` and `keys` need. */
export const readDatabaseUrl: Effect.Effect<Redacted.Redacted, SettingsError> = read(databaseUrl)

export const readDevSettings: Effect.Effect<DevSettings, SettingsError> = read(
  Config.all({
    dataDir: text("DATA_DIR").pipe(Config.withDefault(".data")),
    databaseUrl: Config.option(databaseUrl),
    port
  })
)
