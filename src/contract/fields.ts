/** The fields that several routes share, each with its bounds. Where SQL has the same rule, its words are the same. */
import { Effect, Option, Schema, SchemaGetter } from "effect"

/** PostgreSQL stores neither NUL nor half a surrogate pair. */
export const isStorable = (text: string) => text.isWellFormed() && !text.includes("\0")

export const notStorable = "must not hold NUL or unpaired surrogates"

/** As PostgreSQL counts: an emoji is one character, not two. */
const characters = (text: string, atMost: number) =>
  text.length <= atMost || text.length > 2 * atMost ? text.length : [...text].length

const described = (meaning: string | undefined) => (meaning === undefined ? {} : { description: meaning })

/** Text of 1 to `max` characters. */
export const text = (max: number, meaning?: string) => {
  const message = `must be 1 to ${max} characters`
  return Schema.String.annotate({ message }).check(
    Schema.makeFilter(
      (value: string) => {
        if (!isStorable(value)) return notStorable
        const length = characters(value, max)
        return length >= 1 && length <= max ? undefined : message
      },
      { says: message, toJsonSchema: () => ({ minLength: 1, maxLength: max }), ...described(meaning) }
    )
  )
}

/** A whole number within bounds. */
export const whole = (minimum: number, maximum: number, meaning?: string) => {
  const message = `must be a whole number from ${minimum} to ${maximum}`
  return Schema.Number.annotate({ message }).check(
    Schema.isInt({ message }),
    Schema.isBetween({ minimum, maximum }, { message, ...described(meaning) })
  )
}

/** A schema's message for a value of another type; a check with messages of its own carries it as `says`. */
const messageOf = (schema: Schema.Top) => {
  const { says, message } = Schema.resolveAnnotations(schema) ?? {}
  const said = says ?? message
  return typeof said === "string" ? { message: said } : {}
}

/** An optional field; null says the same as leaving it out. */
export const optional = <A, I>(schema: Schema.Codec<A, I>) =>
  Schema.optionalKey(Schema.NullOr(schema).annotate(messageOf(schema))).pipe(
    Schema.decodeTo(Schema.optionalKey(Schema.toType(schema)), {
      decode: SchemaGetter.transformOptional(Option.filter((value: A | null): value is A => value !== null)),
      encode: SchemaGetter.passthrough()
    })
  )

export const userId = text(128)
export const appId = text(64, "The app that asks")
export const description = text(500)
export const idempotencyKey = text(255, "The same key never does the same thing twice; a replay gets the first answer")
export const amount = whole(1, 1_000_000_000, "Credits")
export const operation = text(64, "In place of amount: an operation of the price list")
export const quantity = whole(1, 1_000_000, "How many units of the operation; 1 if left out")

const uuidPattern = /^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$/

export const uuid = Schema.String.annotate({ message: "must be a UUID" }).check(
  Schema.isPattern(uuidPattern, { message: "must be a UUID", toJsonSchema: () => ({ format: "uuid" }) })
)

/** One of a few words. */
export const oneOf = <const Words extends ReadonlyArray<string>>(...words: Words) =>
  Schema.Literals(words).annotate({ message: `must be one of ${words.join(", ")}` })

/** A count or sum in a response: whole, and exact as a JSON number. */
export const count = (meaning?: string) => Schema.Int.annotate(described(meaning))

/** A count or sum of credits in a response. */
export const credits = (meaning = "Credits") => count(meaning)

/** A time in a response. */
export const wireTime = Schema.String.annotate({
  format: "date-time",
  description: "ISO 8601, UTC, milliseconds"
})

/** A body: a JSON object. */
export const input = <const Fields extends Schema.Struct.Fields>(fields: Fields) => Schema.Struct(fields)

/** A field that every response of an endpoint has with the same value: nobody needs to supply it. */
export const always = <const Value extends boolean | string>(value: Value) =>
  Schema.Literal(value).pipe(
    Schema.decodeTo(Schema.optionalKey(Schema.Literal(value)), {
      decode: SchemaGetter.passthrough(),
      encode: SchemaGetter.withDefault(Effect.succeed(value))
    })
  )
