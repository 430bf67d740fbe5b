/** Whether a value is what a shape of the OpenAPI document says. */
import { resolved, type Shape } from "../operations.ts"

const formats: Readonly<Record<string, RegExp>> = {
  uuid: /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/i,
  "date-time": /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/,
  date: /^\d{4}-\d\d-\d\d$/
}

const isType = (type: string, value: unknown) => {
  switch (type) {
    case "null":
      return value === null
    case "integer":
      return Number.isSafeInteger(value)
    case "array":
      return Array.isArray(value)
    case "object":
      return typeof value === "object" && value !== null && !Array.isArray(value)
    default:
      return typeof value === type
  }
}

const textFault = (value: string, { format = "", minLength = 0, maxLength = Infinity }: Shape) => {
  const { length } = [...value]
  if (length < minLength || length > maxLength) return `${length} characters`
  return formats[format]?.test(value) === false ? `is no ${format}: ${value}` : undefined
}

const fieldsFault = (value: object, { properties = {}, required = [] }: Shape, path: string): string | undefined => {
  const missing = required.find((name) => !Object.hasOwn(value, name))
  if (missing !== undefined) return `${path}.${missing} is missing`
  return Object.entries(value)
    .map(([name, inner]) => {
      const shape = Object.hasOwn(properties, name) ? properties[name] : undefined
      return shape === undefined ? undefined : faultOf(shape, inner, `${path}.${name}`)
    })
    .find((fault) => fault !== undefined)
}

/** What is wrong with it, and where; undefined when nothing is. */
export const faultOf = (shape: Shape, value: unknown, path = "$"): string | undefined => {
  const { type, anyOf, enum: words, items, minimum = -Infinity, maximum = Infinity, ...rest } = resolved(shape)
  if (anyOf !== undefined) {
    const faults = anyOf.map((each) => faultOf(each, value, path))
    return faults.includes(undefined) ? undefined : faults.join("; nor ")
  }
  if (words !== undefined && !words.includes(value)) return `${path} is none of ${words.join(", ")}`
  if (type !== undefined && !isType(type, value)) return `${path} is no ${type}: ${JSON.stringify(value)}`
  if (typeof value === "number" && (value < minimum || value > maximum)) return `${path} is ${value}`
  if (typeof value === "string") {
    const fault = textFault(value, rest)
    return fault === undefined ? undefined : `${path} ${fault}`
  }
  if (Array.isArray(value)) {
    return items === undefined
      ? undefined
      : value.map((each, index) => faultOf(items, each, `${path}[${index}]`)).find((fault) => fault !== undefined)
  }
  return typeof value === "object" && value !== null ? fieldsFault(value, rest, path) : undefined
}
