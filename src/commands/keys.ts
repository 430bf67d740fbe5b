/** `keys`: makes, lists, revokes and rotates service keys, for people who may act as mana_ops. */
import { userInfo } from "node:os"
import { parseArgs } from "node:util"
import type * as SqlClient from "@effect/sql/SqlClient"
import { Console, Data, Effect, Either, Predicate, Schema } from "effect"
import { hashOf, makeSecret, prefixOf } from "../auth/service-keys.ts"
import { readDatabaseUrl } from "../config.ts"
import { queryTime } from "../contract/query.ts"
import { callRows } from "../database/call.ts"
import { layer as database } from "../database/database.ts"
import { migrated } from "../database/ready.ts"

const usage = `Usage: node src/main.ts keys <command>

  create --app <app> --scopes <scope,…>   a key for an app: prints the secret, once
         [--daily-cap <credits>]          what may be debited or held through it in a UTC day
         [--expires <date>]               when it ends by itself
  list                                    every key, and when it was last used
  revoke <prefix or id>                   ends a key: it is refused within 30 seconds
  rotate <prefix or id> [--overlap 24h]   a new secret; the old one stays good for the overlap

create, revoke and rotate record who did it: --by <name>, or whoever is logged in here.
DATABASE_URL is that of a role that may act as mana_ops.`

/** What somebody at the terminal has to put right. */
class CannotDo extends Data.TaggedError("CannotDo")<{ readonly message: string }> {}

const cannot = (message: string) => Effect.fail(new CannotDo({ message }))

const count = Schema.NullOr(Schema.NumberFromString)
const time = Schema.NullOr(Schema.DateFromSelf)
const Key = Schema.Struct({
  prefix: Schema.String,
  app_id: Schema.String,
  scopes: Schema.Array(Schema.String),
  status: Schema.String,
  daily_cap: count,
  spent_today: count,
  created_by: Schema.String,
  expires_at: time,
  replaced_by: Schema.NullOr(Schema.String),
  last_used_at: time
})
type Key = typeof Key.Type

/** The one key that a function of ops answers with; its refusals are written for people. */
const one = (name: string, args: Parameters<typeof callRows>[2]) =>
  Effect.flatMap(all(name, args), ([key]) =>
    key === undefined ? Effect.dieMessage(`${name} answered no key`) : Effect.succeed(key)
  )

const all = (name: string, args: Parameters<typeof callRows>[2] = {}) =>
  callRows(name, Key, args).pipe(
    Effect.catchTags({
      Refused: ({ message }) => cannot(message),
      Unavailable: ({ cause }) =>
        cannot(`The database can't be reached: ${cause instanceof Error ? cause.message : String(cause)}`)
    })
  )

/** A Postgres array: call.ts would make a JSON document of one of ours. */
const textArray = (values: ReadonlyArray<string>) => `{${values.map((value) => JSON.stringify(value)).join(",")}}`

const list = (value: string) =>
  value
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "")

const day = (at: Date | null) =>
  at === null ? "" : at.toISOString().replace("T00:00:00.000Z", "").replace(/\..*Z/, "Z")

const credits = (value: number) => value.toLocaleString("en-US")

const described = ({ prefix, app_id, scopes, daily_cap, expires_at }: Key) =>
  [
    `Key ${prefix} of ${app_id}, good for ${scopes.join(", ")}`,
    ...(daily_cap === null ? [] : [`at most ${credits(daily_cap)} credits a day`]),
    ...(expires_at === null ? [] : [`until ${day(expires_at)}`])
  ].join("; ")

/** The secret alone on standard output, so that a script can take it; what people want to know beside it. */
const hand = (secret: string, ...remarks: ReadonlyArray<string>) =>
  Effect.zipRight(
    Console.error(
      [...remarks, "This is the only time the secret is shown. Services send it as X-Service-Key."].join("\n")
    ),
    Console.log(secret)
  )

interface Options {
  readonly app?: string | undefined
  readonly scopes?: string | undefined
  readonly "daily-cap"?: string | undefined
  readonly expires?: string | undefined
  readonly overlap?: string | undefined
  readonly by?: string | undefined
}

const who = ({ by }: Options) => by ?? userInfo().username

const cap = (value: string | undefined) =>
  value === undefined || /^[1-9]\d{0,14}$/.test(value)
    ? Effect.succeed(value)
    : cannot("--daily-cap must be a whole number of credits, such as 5000")

const expiry = (value: string | undefined) =>
  value === undefined
    ? Effect.succeed(undefined)
    : Either.match(Schema.decodeUnknownEither(queryTime)(value), {
        onLeft: () => cannot("--expires must be a day or an instant, such as 2027-01-31 or 2027-01-31T12:00:00Z"),
        onRight: Effect.succeed
      })

const units: Readonly<Record<string, string>> = { m: "minutes", h: "hours", d: "days" }

const overlap = (value: string | undefined) => {
  if (value === undefined || value === "0") return Effect.succeed(value)
  const [, number, unit = ""] = /^(\d{1,5})([mhd])$/.exec(value) ?? []
  return number === undefined
    ? cannot("--overlap must be minutes, hours or days, such as 30m, 24h or 7d")
    : Effect.succeed(`${number} ${units[unit] ?? ""}`)
}

const create = (options: Options) =>
  Effect.gen(function* () {
    const { app, scopes } = options
    if (app === undefined || scopes === undefined) return yield* cannot("create needs --app and --scopes.")
    const dailyCap = yield* cap(options["daily-cap"])
    const expiresAt = yield* expiry(options.expires)
    const { secret, prefix } = makeSecret()
    const key = yield* one("ops.create_service_key", {
      appId: app,
      scopes: textArray(list(scopes)),
      prefix,
      hash: hashOf(secret),
      who: who(options),
      dailyCap,
      expiresAt
    })
    yield* hand(secret, `${described(key)}.`)
  })

const rotate = (name: string, options: Options) =>
  Effect.gen(function* () {
    const { secret, prefix } = makeSecret()
    const key = yield* one("ops.rotate_service_key", {
      key: name,
      prefix,
      hash: hashOf(secret),
      who: who(options),
      overlap: yield* overlap(options.overlap)
    })
    const old = (yield* all("ops.service_keys")).find(({ replaced_by }) => replaced_by === prefix)
    yield* hand(
      secret,
      `${described(key)}.`,
      `It follows ${old?.prefix ?? name}, which ends ${day(old?.expires_at ?? null)}.`
    )
  })

const revoke = (name: string, options: Options) =>
  Effect.gen(function* () {
    const { prefix, app_id } = yield* one("ops.revoke_service_key", { key: name, who: who(options) })
    yield* Console.log(`Key ${prefix} of ${app_id} is revoked: every process refuses it within 30 seconds.`)
  })

const columns: Readonly<Record<string, (key: Key) => string>> = {
  key: ({ prefix }) => prefix,
  app: ({ app_id }) => app_id,
  scopes: ({ scopes }) => scopes.join(","),
  status: ({ status, replaced_by }) => (replaced_by === null ? status : `${status}, now ${replaced_by}`),
  "spent today": ({ daily_cap, spent_today }) =>
    daily_cap === null ? "" : `${credits(spent_today ?? 0)} of ${credits(daily_cap)}`,
  "last used": ({ last_used_at }) => (last_used_at === null ? "never" : day(last_used_at)),
  expires: ({ expires_at }) => day(expires_at),
  by: ({ created_by }) => created_by
}

const show = Effect.gen(function* () {
  const keys = yield* all("ops.service_keys")
  if (keys.length === 0) return yield* Console.log("There is no service key but those in MANA_SERVICE_KEY.")
  const rows = [Object.keys(columns), ...keys.map((key) => Object.values(columns).map((cell) => cell(key)))]
  const widths = Object.keys(columns).map((_, index) => Math.max(...rows.map((row) => row[index]?.length ?? 0)))
  for (const row of rows) {
    yield* Console.log(
      row
        .map((cell, index) => cell.padEnd(widths[index] ?? 0))
        .join("  ")
        .trimEnd()
    )
  }
})

type Run = Effect.Effect<void, CannotDo, SqlClient.SqlClient>

const told = (args: ReadonlyArray<string>) =>
  Effect.try({
    try: () =>
      parseArgs({
        args: [...args],
        allowPositionals: true,
        options: {
          app: { type: "string" },
          scopes: { type: "string" },
          "daily-cap": { type: "string" },
          expires: { type: "string" },
          overlap: { type: "string" },
          by: { type: "string" }
        }
      }),
    catch: (error) => new CannotDo({ message: Predicate.isError(error) ? error.message : String(error) })
  })

/** Which options a command takes besides --by, and whether it names a key. */
const commands: Readonly<
  Record<
    string,
    {
      readonly takes: ReadonlyArray<string>
      readonly run: (name: string, options: Options) => Run
      readonly named: boolean
    }
  >
> = {
  create: { takes: ["app", "scopes", "daily-cap", "expires"], named: false, run: (_name, options) => create(options) },
  list: { takes: [], named: false, run: () => show },
  revoke: { takes: [], named: true, run: revoke },
  rotate: { takes: ["overlap"], named: true, run: rotate }
}

/** Ends with 0, or with 1 where the arguments are none that a command takes. */
export const run = (args: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const { values, positionals } = yield* told(args)
    const [command = "", name, ...more] = positionals
    const known = Object.hasOwn(commands, command) ? commands[command] : undefined
    const foreign = Object.keys(values).filter((option) => option !== "by" && known?.takes.includes(option) !== true)
    if (known === undefined || known.named !== (name !== undefined) || more.length > 0 || foreign.length > 0) {
      yield* Console.error(usage)
      return 1
    }
    const url = yield* readDatabaseUrl
    // Who revokes a key that has leaked may have all of it at hand; no more than its prefix leaves this process.
    const prefixOrId = name === undefined ? "" : (prefixOf(name.trim()) ?? name.trim())
    yield* Effect.zipRight(migrated, known.run(prefixOrId, values)).pipe(
      Effect.provide(
        database({
          url,
          role: "mana_ops",
          maxConnections: 1,
          applicationName: "mana-credits keys",
          statementTimeout: "10 seconds",
          connectTimeout: "5 seconds"
        })
      )
    )
    return 0
  })
