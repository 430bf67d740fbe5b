/** Every setting, decoded once from the environment. `.env.example` says the same for people. */
import type { Stripe } from "stripe"
import { Config, Context, Data, Effect, type LogLevel, Option, Redacted, Result } from "effect"

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

export class AppSettings extends Context.Service<AppSettings, Settings>()("mana/AppSettings") {}

/** One message that names every setting that is missing or malformed; no secret is in it. */
export class SettingsError extends Data.TaggedError("SettingsError")<{ readonly message: string }> {}

/** One or more settings are missing or malformed. The message names them and holds no secret. */
type Problems = ReadonlyArray<string>

/** A setting that may be missing. */
interface Setting<A> {
  readonly name: string
  readonly read: Effect.Effect<Option.Option<A>, Problems>
}

// An empty variable, or a blank one, counts as missing: that is how compose files and shells leave one out.
const text = (name: string): Setting<string> => ({
  name,
  read: Config.option(Config.String(name)).pipe(
    Effect.map((value) =>
      value.pipe(
        Option.map((characters) => characters.trim()),
        Option.filter((characters) => characters !== "")
      )
    ),
    Effect.mapError(({ message }) => [message])
  )
})

const checked = <A>(name: string, problem: string, decode: (value: string) => Option.Option<A>): Setting<A> => ({
  name,
  read: Effect.flatMap(text(name).read, (value) => {
    const decoded = Option.flatMap(value, decode)
    return Option.isSome(value) && Option.isNone(decoded)
      ? Effect.fail([`${name} ${problem}`])
      : Effect.succeed(decoded)
  })
})

const required = <A>({ name, read }: Setting<A>) =>
  Effect.flatMap(
    read,
    Option.match({ onNone: () => Effect.fail([`${name} is missing`]), onSome: (value) => Effect.succeed(value) })
  )

const withDefault = <A>({ read }: Setting<A>, value: NoInfer<A>) =>
  Effect.map(
    read,
    Option.getOrElse(() => value)
  )

const problemsOf = (results: Iterable<Result.Result<unknown, Problems>>): Problems =>
  Array.from(results).flatMap((result) => (Result.isFailure(result) ? result.failure : []))

/** Both or neither. */
const together = <A, B>(first: Setting<A>, second: Setting<B>) =>
  Effect.gen(function* () {
    const a = yield* Effect.result(first.read)
    const b = yield* Effect.result(second.read)
    if (Result.isFailure(a) || Result.isFailure(b)) return yield* Effect.fail(problemsOf([a, b]))
    if (Option.isSome(a.success) !== Option.isSome(b.success)) {
      return yield* Effect.fail([`${first.name} and ${second.name} go together: set both or neither`])
    }
    return Option.all([a.success, b.success])
  })

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
  Option.fromNullishOr(URL.parse(value)).pipe(
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

const port = withDefault(whole("PORT", 1, 65535), 3061)

const databaseAddress = matching(
  "DATABASE_URL",
  "must be a postgres:// address, with what is odd in its password percent-encoded",
  (value) => /^postgres(ql)?:\/\/./.test(value) && URL.canParse(value)
)

const databaseUrl: Setting<Redacted.Redacted> = {
  name: databaseAddress.name,
  read: Effect.flatMap(databaseAddress.read, (given) =>
    // They would take the place of ours, the role among them.
    Option.exists(given, (url) => URL.parse(url)?.searchParams.has("options") === true)
      ? Effect.fail(["DATABASE_URL must not name options: set them for the role or the database in place of that"])
      : Effect.succeed(Option.map(given, (url) => Redacted.make(url)))
  )
}

const secrets = (name: string, problem: string, accept: (secret: string) => boolean) =>
  checked(name, problem, (value) =>
    Option.some(list(value)).pipe(
      Option.filter((each) => each.length > 0 && each.every(accept)),
      Option.map((each) => each.map((secret) => Redacted.make(secret)))
    )
  )

const jwtAlgorithms = checked("JWT_ALGORITHMS", "must name asymmetric algorithms: EdDSA, ES256, RS256 …", (value) =>
  Option.some(list(value)).pipe(Option.filter((names) => names.length > 0 && names.every((it) => asymmetric.test(it))))
)

const corsOrigins = checked(
  "CORS_ORIGINS",
  "must be origins such as https://app.example, commas between, or *",
  (value) => Option.all(list(value).map(origin))
)

const logLevels: ReadonlyMap<string, LogLevel.LogLevel> = new Map([
  ["debug", "Debug"],
  ["info", "Info"],
  ["warning", "Warn"],
  ["error", "Error"],
  ["none", "None"]
])

const logLevel = checked("LOG_LEVEL", "must be Debug, Info, Warning, Error or None", (value) =>
  Option.fromUndefinedOr(logLevels.get(value.toLowerCase()))
)

/** Both or neither: with a key and no webhook secret we would take money and never learn that it arrived. */
const stripe = together(
  matching("STRIPE_SECRET_KEY", "must start with sk_ or rk_", (key) => /^[sr]k_./.test(key)),
  secrets("STRIPE_WEBHOOK_SECRET", "must be one or several secrets that start with whsec_, commas between", (secret) =>
    /^whsec_./.test(secret)
  )
).pipe(
  Effect.map(Option.map(([key, webhookSecrets]): StripeSettings => ({ secretKey: Redacted.make(key), webhookSecrets })))
)

/** 24 to 64 bytes, as Standard Webhooks asks. */
const isEventsSecret = (secret: string) => {
  const bytes = Buffer.from(secret.replace("whsec_", ""), "base64").length
  return /^whsec_[A-Za-z0-9+/]+=*$/.test(secret) && bytes >= 24 && bytes <= 64
}

/** Both or neither: an event that nobody can verify is worth nothing. */
const events = together(
  matching("EVENTS_WEBHOOK_URL", "must be an http(s):// address, without a user or password", (value) =>
    Option.exists(Option.fromNullishOr(URL.parse(value)), isWeb)
  ),
  matching("EVENTS_WEBHOOK_SECRET", "must be whsec_ and 24 to 64 bytes in base64", isEventsSecret)
).pipe(Effect.map(Option.map(([url, secret]): EventsSettings => ({ url, secret: Redacted.make(secret) }))))

/** Everything that was read, or every problem with it: a person corrects them all at once. */
const complete = <A>(
  all: Result.Result<A, Problems>,
  each: Readonly<Record<string, Result.Result<unknown, Problems>>>
) =>
  Effect.mapError(
    Effect.fromResult(all),
    () =>
      new SettingsError({
        message: ["Settings to correct (.env.example explains each):", ...problemsOf(Object.values(each))].join("\n  ")
      })
  )

/** Everything `serve` and `worker` need. */
export const readSettings: Effect.Effect<Settings, SettingsError> = Effect.all(
  {
    databaseUrl: required(databaseUrl),
    databaseMaxConnections: withDefault(whole("DATABASE_MAX_CONNECTIONS", 1, 1000), 20),
    authUrl: required(address("MANA_AUTH_URL")),
    jwtAlgorithms: withDefault(jwtAlgorithms, ["EdDSA"]),
    serviceKeys: required(secrets("MANA_SERVICE_KEY", "must be one or several keys with commas between", () => true)),
    host: withDefault(text("HOST"), "0.0.0.0"),
    port,
    baseUrl: address("BASE_URL").read,
    corsOrigins: withDefault(corsOrigins, []),
    appUrl: address("APP_URL").read,
    stripe,
    events,
    runWorker: withDefault(flag("RUN_WORKER"), true),
    trustProxy: withDefault(flag("TRUST_PROXY"), false),
    logLevel: withDefault(logLevel, "Info")
  },
  { mode: "result" }
).pipe(
  Effect.flatMap((each) => complete(Result.all(each), each)),
  Effect.map(({ baseUrl, ...others }) => ({
    ...others,
    baseUrl: Option.getOrElse(baseUrl, () => `http://127.0.0.1:${others.port}`)
  }))
)

/** All that `migrate`, `verify` and `keys` need. */
export const readDatabaseUrl: Effect.Effect<Redacted.Redacted, SettingsError> = Effect.flatMap(
  Effect.result(required(databaseUrl)),
  (url) => complete(url, { url })
)

export const readDevSettings: Effect.Effect<DevSettings, SettingsError> = Effect.all(
  { dataDir: withDefault(text("DATA_DIR"), ".data"), databaseUrl: databaseUrl.read, port },
  { mode: "result" }
).pipe(Effect.flatMap((each) => complete(Result.all(each), each)))
