/** `keys`: makes, lists, revokes and rotates service keys, for people who may act as mana_ops. */
import { userInfo } from "node:os"
import { Console, Data, Effect, Option, Schema } from "effect"
import type { SqlClient } from "effect/sql"
import { hashOf, makeSecret, prefixOf } from "../auth/service-keys.ts"
import { readDatabaseUrl } from "../config.ts"
import { queryTime } from "../contract/query.ts"
import { callRows } from "../database/call.ts"
import { layer as database } from "../database/database.ts"
import { migrated } from "../database/ready.ts"
import { errorMessage } from "../lib/error-message.ts"

/** Something for the person at the terminal to put right. */
class CannotDo extends Data.TaggedError("CannotDo")<{ readonly message: string }> {}

const cannot = (message: string) => Effect.fail(new CannotDo({ message }))

const count = Schema.NullOr(Schema.FiniteFromString)
const time = Schema.NullOr(Schema.Date)
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
    key === undefined ? Effect.die(new Error(`${name} answered no key`)) : Effect.succeed(key)
  )

const all = (name: string, args: Parameters<typeof callRows>[2] = {}) =>
  callRows(name, Key, args).pipe(
    Effect.catchTags({
      Refused: ({ message }) => cannot(message),
      Unavailable: ({ cause }) => cannot(`The database can't be reached: ${errorMessage(cause)}`)
    })
  )

/** A Postgres array: call.ts would make a JSON document of one of ours. */
const textArray = (values: ReadonlyArray<string>) => `{${values.map((value) => JSON.stringify(value)).join(",")}}`

const splitList = (value: string) =>
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
  Effect.andThen(
    Console.error(
      [...remarks, "This is the only time the secret is shown. Services send it as X-Service-Key."].join("\n")
    ),
    Console.log(secret)
  )

interface By {
  readonly by: Option.Option<string>
}

const who = ({ by }: By) => Option.getOrElse(by, () => userInfo().username)

const cap = (value: Option.Option<string>) =>
  Option.exists(value, (number) => !/^[1-9]\d{0,14}$/.test(number))
    ? cannot("--daily-cap must be a whole number of credits, such as 5000")
    : Effect.succeed(Option.getOrUndefined(value))

const expiry = Option.match({
  onNone: () => Effect.succeed(undefined),
  onSome: (value: string) =>
    Effect.mapError(
      Schema.decodeEffect(queryTime)(value),
      () =>
        new CannotDo({
          message: "--expires must be a day or an instant, such as 2027-01-31 or 2027-01-31T12:00:00Z"
        })
    )
})

const units: Readonly<Record<string, string>> = { m: "minutes", h: "hours", d: "days" }

const overlapOf = Option.match({
  onNone: () => Effect.succeed(undefined),
  onSome: (value: string) => {
    if (value === "0") return Effect.succeed(value)
    const [, number, unit = ""] = /^(\d{1,5})([mhd])$/.exec(value) ?? []
    return number === undefined
      ? cannot("--overlap must be minutes, hours or days, such as 30m, 24h or 7d")
      : Effect.succeed(`${number} ${units[unit] ?? ""}`)
  }
})

/** A person who revokes a leaked key may paste all of it; no more than its prefix leaves this process. */
const prefixOrId = (key: string) => prefixOf(key.trim()) ?? key.trim()

const asOps = <A, E>(work: Effect.Effect<A, E, SqlClient.SqlClient>) =>
  Effect.flatMap(readDatabaseUrl, (url) =>
    Effect.provide(
      Effect.andThen(migrated, work),
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

export interface Create extends By {
  readonly app: string
  readonly scopes: string
  readonly dailyCap: Option.Option<string>
  readonly expires: Option.Option<string>
}

export const create = Effect.fnUntraced(function* (options: Create) {
  const dailyCap = yield* cap(options.dailyCap)
  const expiresAt = yield* expiry(options.expires)
  const { secret, prefix } = makeSecret()
  const key = yield* one("ops.create_service_key", {
    appId: options.app,
    scopes: textArray(splitList(options.scopes)),
    prefix,
    hash: hashOf(secret),
    who: who(options),
    dailyCap,
    expiresAt
  })
  yield* hand(secret, `${described(key)}.`)
}, asOps)

export interface Revoke extends By {
  readonly key: string
}

export const revoke = Effect.fnUntraced(function* (options: Revoke) {
  const { prefix, app_id } = yield* one("ops.revoke_service_key", {
    key: prefixOrId(options.key),
    who: who(options)
  })
  yield* Console.log(`Key ${prefix} of ${app_id} is revoked: every process refuses it within 30 seconds.`)
}, asOps)

export interface Rotate extends Revoke {
  readonly overlap: Option.Option<string>
}

export const rotate = Effect.fnUntraced(function* (options: Rotate) {
  const { secret, prefix } = makeSecret()
  const name = prefixOrId(options.key)
  const key = yield* one("ops.rotate_service_key", {
    key: name,
    prefix,
    hash: hashOf(secret),
    who: who(options),
    overlap: yield* overlapOf(options.overlap)
  })
  const old = (yield* all("ops.service_keys")).find(({ replaced_by }) => replaced_by === prefix)
  yield* hand(
    secret,
    `${described(key)}.`,
    `It follows ${old?.prefix ?? name}, which ends ${day(old?.expires_at ?? null)}.`
  )
}, asOps)

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

export const list = Effect.gen(function* () {
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
}).pipe(asOps)
