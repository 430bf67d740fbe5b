/** Parameters of a query: text on the wire, checked as strictly as a body. */
import { Schema } from "effect"
import { saying } from "./fields.ts"

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
