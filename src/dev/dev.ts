/** `npm run dev`: the service and everything it needs, from one line and nothing installed. */
import * as path from "node:path"
import { ConfigProvider, Console, Context, Effect, Layer, Option, Redacted, Schedule, Schema } from "effect"
import { readDevSettings, readSettings } from "../config.ts"
import { call } from "../database/call.ts"
import { embeddedPostgres } from "../database/embedded.ts"
import { migrateToCurrent } from "../database/migrate.ts"
import { readableLogs } from "../telemetry/logs.ts"
import { service } from "../service.ts"
import { WorkerHealth } from "../worker/health.ts"
import { devDatabases } from "./databases.ts"
import { devRoutes } from "./dev-routes.ts"
import { makeIssuer } from "./issuer.ts"
import { withPayments } from "./payments.ts"

const demo = { userId: "demo", amount: 1000 }

/** What the environment doesn't say. */
const defaults = { MANA_SERVICE_KEY: "dev-service-key", HOST: "127.0.0.1", CORS_ORIGINS: "*" }

const settingsWith = (decided: Readonly<Record<string, string>>) => {
  const given = Object.entries(process.env).flatMap(([name, value]) => (value ? [[name, value] as const] : []))
  return Effect.provideService(
    readSettings,
    ConfigProvider.ConfigProvider,
    ConfigProvider.fromEnvRecord({ ...defaults, ...Object.fromEntries(given), ...decided })
  )
}

/** Once, however often it is started: the reference is always the same. */
const giveDemoCredits = call(
  "credits.grant",
  Schema.Struct({ alreadyGranted: Schema.Boolean }),
  { ...demo, reason: "demo", referenceId: "npm run dev", description: "To try things out" },
  { keyed: true }
)

const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`

interface Welcome {
  readonly origin: string
  readonly databaseUrl: string
  readonly serviceKey: string
  readonly token: string
  /** Absent where payments go to Stripe itself. */
  readonly simulatorUrl: string | undefined
}

const welcome = ({ origin, databaseUrl, serviceKey, token, simulatorUrl }: Welcome) => {
  const bearer = `-H ${quoted(`Authorization: Bearer ${token}`)}`
  const json = "-H 'Content-Type: application/json'"
  const back = { successUrl: `${origin}/docs#paid`, cancelUrl: `${origin}/docs#cancelled` }
  const bought = JSON.stringify({ packageId: "credits_1000", ...back })
  return `
  API           ${origin}
  Reference     ${origin}/docs
  Database      ${databaseUrl}
  Payments      ${simulatorUrl ?? "Stripe, with the key of the environment"}
  Service key   ${serviceKey}
  Token         ${token}
                of the user ${demo.userId}, who was given ${demo.amount} credits

What demo can spend:
  curl ${origin}/api/v1/credits/balance ${bearer}

Spend 5 of it:
  curl ${origin}/api/v1/credits/use ${bearer} ${json} -d '{"amount":5,"appId":"chat","description":"One answer"}'

The same as a service, for any user:
  curl ${origin}/api/v1/internal/credits/use -H ${quoted(`X-Service-Key: ${serviceKey}`)} -H 'X-App-Id: chat' ${json} -d '{"userId":"demo","amount":5,"appId":"chat","description":"One answer"}'

Buy more: open the checkoutUrl in a browser${simulatorUrl === undefined ? "" : " (a simulation: no money moves)"}:
  curl ${origin}/api/v1/credits/purchase ${bearer} ${json} -d ${quoted(bought)}

A token for somebody else (email, name and role if you like):
  curl ${origin}/dev/token ${json} -d '{"sub":"ada","email":"ada@example.com","name":"Ada"}'
`
}

/** Runs until it is told to stop, and then stops everything it started. */
export const run = Effect.fnUntraced(function* () {
  const dev = yield* readDevSettings
  const origin = `http://127.0.0.1:${dev.port}`
  const { url } = yield* devDatabases(dev, embeddedPostgres({ dataDir: dev.dataDir }))
  const { settings, simulatorUrl } = yield* Effect.flatMap(
    settingsWith({ DATABASE_URL: url, MANA_AUTH_URL: origin }),
    (given) => withPayments(given, { origin, port: dev.port, dataDir: dev.dataDir })
  )
  const issuer = yield* makeIssuer(origin, path.join(dev.dataDir, "token-key.json"))

  const logs = readableLogs(settings.logLevel)
  yield* migrateToCurrent({ url })
  const context = yield* Layer.build(Layer.provide(service(settings, devRoutes(issuer)), logs))
  yield* Effect.provide(giveDemoCredits, context)
  yield* Context.get(context, WorkerHealth).state.pipe(
    Effect.repeat({ until: (state) => state !== "stopped", schedule: Schedule.spaced("20 millis") }),
    Effect.timeoutOption("10 seconds")
  )

  const shownUrl = Option.isSome(dev.databaseUrl) ? url.replace(/:[^:@/]*@/, ":…@") : url
  const [serviceKey] = settings.serviceKeys
  yield* Console.log(
    welcome({
      origin,
      databaseUrl: shownUrl,
      serviceKey: serviceKey === undefined ? "" : Redacted.value(serviceKey),
      token: yield* issuer.token({ sub: demo.userId, email: "demo@example.com", name: "Demo" }),
      simulatorUrl
    })
  )
  yield* Console.log(`ready on ${origin}`)
  return yield* Effect.never
}, Effect.scoped)
