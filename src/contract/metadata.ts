/** JSON that callers give us to keep. */
import { Schema } from "effect"
import { isStorable, notStorable } from "./fields.ts"

/** Deeper than anything people write, and shallow enough for every parser on the way. */
const maxDepth = 100

/** Why PostgreSQL couldn't store it as jsonb, if it couldn't. */
export const jsonFault = (value: unknown): string | undefined => {
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

type JsonObject = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const notAnObject = "must be a JSON object"

/** As it came: a schema of the library's would refuse numbers beyond 1e308, which psql may have written. */
const object = Schema.declare(isObject, { message: notAnObject, toCodecJson: () => undefined })
const asObject = () => ({ type: "object" }) as const

// Its size is for SQL to judge, which writes it.
export const metadata = object
  .annotate({ description: "At most 8 KiB of JSON" })
  .check(Schema.makeFilter(jsonFault, { says: notAnObject, toJsonSchema: asObject }))

/** The same in a response. */
export const keptMetadata = Schema.NullOr(object.check(Schema.makeFilter(() => true, { toJsonSchema: asObject })))

/** Any JSON, not looked at. */
export const json = Schema.declare((_: unknown): _ is unknown => true, { toCodecJson: () => undefined })
