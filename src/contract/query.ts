/** Parameters of a query: text on the wire, checked as strictly as a body. */
import { Schema, SchemaGetter } from "effect"

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

const notATime = "must be a time in ISO 8601, such as 2026-01-31 or 2026-01-31T12:00:00Z"

/** A time in a query: a day (its start in UTC) or an instant with its zone. */
export const queryTime = Schema.String.annotate({
  message: notATime,
  description: "A day, or an instant with its zone: ISO 8601"
})
  .check(Schema.makeFilter((value: string) => asWireTime(value) !== undefined, { message: notATime }))
  .pipe(
    Schema.decodeTo(Schema.String, {
      decode: SchemaGetter.transform((value: string) => asWireTime(value) ?? value),
      encode: SchemaGetter.passthrough()
    })
  )

/** A whole number in a query. */
export const queryWhole = (minimum: number, maximum: number) => {
  const message = `must be a whole number from ${minimum} to ${maximum}`
  return Schema.String.annotate({ message })
    .check(
      Schema.makeFilter(
        (value: string) => /^\d{1,9}$/.test(value) && Number(value) >= minimum && Number(value) <= maximum,
        { message, toJsonSchema: () => ({ type: "integer", minimum, maximum }) }
      )
    )
    .pipe(
      Schema.decodeTo(Schema.Number, {
        decode: SchemaGetter.transform(Number),
        encode: SchemaGetter.transform(String)
      })
    )
}
