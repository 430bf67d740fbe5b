/** The fields that several routes share, each with its bounds. Where SQL has the same rule, its words are the same. */
import { Schema } from "effect"

/** PostgreSQL stores neither NUL nor half a surrogate pair. */
export const isStorable = (text: string) => text.isWellFormed() && !text.includes("\0")

export const notStorable = "must not hold NUL or unpaired surrogates"

/** As PostgreSQL counts: an emoji is one character, not two. */
const characters = (text: string, atMost: number) =>
  text.length <= atMost || text.length > 2 * atMost ? text.length : [...text].length

/** One message for whatever is wrong with a field. */
export const saying = (message: string) => () => ({ message, override: true })

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

const uuidPattern = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"

export const uuid = Schema.String.pipe(Schema.pattern(new RegExp(uuidPattern))).annotations({
  message: saying("must be a UUID"),
  jsonSchema: { type: "string", format: "uuid" }
})

/** One of a few words. */
export const oneOf = <const Words extends readonly [string, ...Array<string>]>(...words: Words) =>
  Schema.Literal(...words).annotations({ message: saying(`must be one of ${words.join(", ")}`) })

/** A count or sum of credits in an answer: whole, and exact as a JSON number. */
export const credits = (meaning = "Credits") =>
  Schema.Number.annotations({ jsonSchema: { type: "integer", description: meaning } })

/** A time in an answer. */
export const wireTime = Schema.String.annotations({
  jsonSchema: { type: "string", format: "date-time", description: "ISO 8601, UTC, milliseconds" }
})

/** A body or a query; all its faults are named at once. */
export const input = <Fields extends Schema.Struct.Fields>(fields: Fields) =>
  Schema.Struct(fields).annotations({ parseOptions: { errors: "all" } })
