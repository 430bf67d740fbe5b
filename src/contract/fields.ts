/** The fields that several routes share, each with its bounds. Where SQL has the same rule, its words are the same. */
import { Schema } from "effect"

/** PostgreSQL stores neither NUL nor half a surrogate pair. */
export const isStorable = (text: string) => text.isWellFormed() && !text.includes("\0")

const notStorable = "must not hold NUL or unpaired surrogates"

/** As PostgreSQL counts: an emoji is one character, not two. */
const characters = (text: string, atMost: number) =>
  text.length <= atMost || text.length > 2 * atMost ? text.length : [...text].length

const saying = (message: string) => () => ({ message, override: true })

/** Text of 1 to `max` characters. */
export const text = (max: number, description?: string) =>
  Schema.String.pipe(
    Schema.filter((value) => {
      const length = characters(value, max)
      return length >= 1 && length <= max && isStorable(value)
    })
  ).annotations({
    message: (issue) => ({
      message:
        typeof issue.actual === "string" && !isStorable(issue.actual) ? notStorable : `must be 1 to ${max} characters`,
      override: true
    }),
    jsonSchema: {
      type: "string",
      minLength: 1,
      maxLength: max,
      ...(description === undefined ? {} : { description })
    }
  })

/** A whole number within bounds. */
export const whole = (from: number, to: number, description?: string) =>
  Schema.Number.pipe(Schema.filter((value) => Number.isInteger(value) && value >= from && value <= to)).annotations({
    message: saying(`must be a whole number from ${from} to ${to}`),
    jsonSchema: {
      type: "integer",
      minimum: from,
      maximum: to,
      ...(description === undefined ? {} : { description })
    }
  })

/** An optional field; null says the same as leaving it out. */
export const optional = <A, I>(schema: Schema.Schema<A, I>) => Schema.optionalWith(schema, { nullable: true })

export const userId = text(128)
export const appId = text(64, "The app that asks")
export const description = text(500)
export const idempotencyKey = text(255, "The same key never does the same thing twice; a replay gets the first answer")
export const amount = whole(1, 1_000_000_000, "Credits")
export const operation = text(64, "In place of amount: an operation of the price list")
export const quantity = whole(1, 1_000_000, "How many units of the operation; 1 if left out")

/** Deeper than anything people write, and shallow enough for every parser on the way. */
const maxDepth = 100

const jsonFault = (value: unknown): string | undefined => {
  const rest: Array<{ readonly value: unknown; readonly depth: number }> = [{ value, depth: 1 }]
  for (let next = rest.pop(); next !== undefined; next = rest.pop()) {
    if (typeof next.value === "string" && !isStorable(next.value)) return notStorable
    // JSON.parse makes Infinity of 1e999, which no JSON can say.
    if (typeof next.value === "number" && !Number.isFinite(next.value)) return "must not hold a number beyond 1e308"
    if (typeof next.value !== "object" || next.value === null) continue
    if (next.depth > maxDepth) return `must not be nested deeper than ${maxDepth} levels`
    for (const [key, inner] of Object.entries(next.value)) {
      if (!isStorable(key)) return notStorable
      rest.push({ value: inner, depth: next.depth + 1 })
    }
  }
  return undefined
}

/** What is wrong with JSON that PostgreSQL is to store, or undefined. */
export const metadataFault = (value: unknown) =>
  typeof value !== "object" || value === null || Array.isArray(value) ? "must be a JSON object" : jsonFault(value)

// Its size is for SQL to judge, which writes it.
export const metadata = Schema.Object.pipe(Schema.filter((value) => metadataFault(value) === undefined)).annotations({
  message: ({ actual }) => ({ message: metadataFault(actual) ?? "must be a JSON object", override: true }),
  jsonSchema: { type: "object", description: "At most 8 KiB of JSON" }
})

const uuidPattern = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"

export const uuid = Schema.String.pipe(Schema.pattern(new RegExp(uuidPattern))).annotations({
  message: saying("must be a UUID"),
  jsonSchema: { type: "string", format: "uuid" }
})

/** One of a few words. */
export const oneOf = <const Words extends readonly [string, ...Array<string>]>(...words: Words) =>
  Schema.Literal(...words).annotations({ message: saying(`must be one of ${words.join(", ")}`) })

const timePattern = /^([1-9]\d{3}-\d{2}-\d{2})(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:\d{2}))?$/

/** What a time in a query says, as wire times are written; undefined for what is no time. */
const asWireTime = (value: string) => {
  const day = timePattern.exec(value)?.[1]
  const time = new Date(value)
  // JavaScript takes 30 February for 1 March.
  if (day === undefined || Number.isNaN(time.getTime()) || !new Date(day).toISOString().startsWith(day))
    return undefined
  const written = time.toISOString()
  // PostgreSQL writes years of fewer or more digits differently.
  return /^[1-9]\d{3}-/.test(written) ? written : undefined
}

/** A time in a query: a day (its start in UTC) or an instant with its zone. */
export const queryTime = Schema.transform(
  Schema.String.pipe(Schema.filter((value) => asWireTime(value) !== undefined)).annotations({
    message: saying("must be a time in ISO 8601, such as 2026-01-31 or 2026-01-31T12:00:00Z"),
    jsonSchema: { type: "string", description: "A day, or an instant with its zone: ISO 8601" }
  }),
  Schema.String,
  { strict: true, decode: (value) => asWireTime(value) ?? value, encode: (value) => value }
)

/** A whole number in a query. */
export const queryWhole = (from: number, to: number) =>
  Schema.transform(
    Schema.String.pipe(
      Schema.filter((value) => /^\d{1,9}$/.test(value) && Number(value) >= from && Number(value) <= to)
    ).annotations({
      message: saying(`must be a whole number from ${from} to ${to}`),
      jsonSchema: { type: "integer", minimum: from, maximum: to }
    }),
    Schema.Number,
    { strict: true, decode: Number, encode: String }
  )

/** A count or sum of credits in an answer: whole, and exact as a JSON number. */
export const credits = (meaning = "Credits") =>
  Schema.Number.annotations({ jsonSchema: { type: "integer", description: meaning } })

/** JSON that somebody gave us to keep. */
export const keptMetadata = Schema.NullOr(Schema.Object.annotations({ jsonSchema: { type: "object" } }))

/** A time in an answer. */
export const wireTime = Schema.String.annotations({
  jsonSchema: { type: "string", format: "date-time", description: "ISO 8601, UTC, milliseconds" }
})

/** A body or a query; all its faults are named at once. */
export const input = <Fields extends Schema.Struct.Fields>(fields: Fields) =>
  Schema.Struct(fields).annotations({ parseOptions: { errors: "all" } })

// Printable ASCII: what every client and proxy sends alike.
const header = (max: number, meaning: string) =>
  Schema.String.pipe(Schema.pattern(new RegExp(`^[\\x20-\\x7e]{1,${max}}$`))).annotations({
    message: saying(`must be 1 to ${max} printable ASCII characters`),
    jsonSchema: { type: "string", minLength: 1, maxLength: max, description: meaning }
  })

/** Headers of a call that moves money. */
export const keyHeaders = {
  "idempotency-key": Schema.optional(header(255, "In place of the body's idempotencyKey"))
}

/** Headers of a call by a service. */
export const serviceHeaders = { "x-app-id": Schema.optional(header(64, "The calling app")) }
