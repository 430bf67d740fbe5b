/** The OpenAPI document of the contract: what the library writes of it, examples, and the events that we send. */
import { Schema } from "effect"
import { HttpApi, OpenApi } from "effect/http-api"
import { Api } from "./api.ts"
import { eventHeaders, eventProtocol, events } from "./events.ts"
import { examples, parameterExamples } from "./examples.ts"
import { Debit } from "./internal-credits.ts"
import * as problems from "./problems.ts"

/** The part of JSON Schema that the contract uses. */
export interface Shape {
  readonly $ref?: string
  readonly type?: string
  readonly format?: string
  readonly description?: string
  readonly enum?: ReadonlyArray<unknown>
  readonly anyOf?: ReadonlyArray<Shape>
  readonly allOf?: ReadonlyArray<Shape>
  readonly items?: Shape
  readonly properties?: Readonly<Record<string, Shape>>
  readonly required?: ReadonlyArray<string>
  readonly minimum?: number
  readonly maximum?: number
  readonly minLength?: number
  readonly maxLength?: number
  readonly minItems?: number
  readonly maxItems?: number
}

type Content = Readonly<Record<string, { readonly schema: Shape; readonly example?: unknown }>>

export interface Operation {
  readonly tags: ReadonlyArray<string>
  readonly operationId: string
  readonly summary?: string
  readonly description?: string
  readonly security: ReadonlyArray<Readonly<Record<string, ReadonlyArray<string>>>>
  readonly parameters: ReadonlyArray<{
    readonly name: string
    readonly in: "path" | "query" | "header"
    readonly required: boolean
    readonly schema: Shape
    readonly example?: unknown
  }>
  readonly requestBody?: { readonly required: boolean; readonly content: Content }
  readonly responses: Readonly<Record<string, { readonly description: string; readonly content?: Content }>>
}

type Operations = Readonly<Record<string, Readonly<Record<string, Operation>>>>

interface Generated extends Omit<OpenApi.OpenAPISpec, "paths" | "components"> {
  readonly paths: Operations
  readonly components: {
    readonly schemas: Readonly<Record<string, Shape>>
    readonly securitySchemes: Readonly<Record<string, { readonly name?: string; readonly description?: string }>>
  }
}

/** For JSON.parse: each value of the document as people would write it. */
const written = (key: string, value: Shape | string | number | null) => {
  // Unknown fields are allowed everywhere.
  if (key === "additionalProperties") return undefined
  // The bounds of every whole number that JSON carries exactly.
  if (typeof value === "number" && Math.abs(value) === Number.MAX_SAFE_INTEGER) return undefined
  // The library has a class and its form on the wire as two schemas.
  if (key === "$ref") return String(value).replace(/Encoded$/, "")
  if (typeof value !== "object" || value === null) return value
  const { allOf, ...rest } = value
  // The description belongs to the field, nullable or not.
  const inner = value.anyOf?.[0]?.description
  if (inner !== undefined) return { description: inner, ...value }
  // A check that says more than the type it is on, such as the number in a query's text.
  return allOf === undefined ? value : Object.assign(rest, ...allOf)
}

const clean = (value: unknown) => JSON.parse(JSON.stringify(value), written)

const generated: Generated = clean(
  OpenApi.fromApi(Api.annotate(HttpApi.AdditionalSchemas, [Debit, ...Object.values(problems)]))
)

/** The library takes members of a problem that decoding would fill in for optional, and `instance` is never sent. */
const problem = ({ properties: { instance: _, ...properties } = {}, required = [], ...rest }: Shape) => ({
  ...rest,
  properties,
  required: [...new Set(["type", "title", "status", "detail", "code", "message", ...required])]
})

/** `idempotency-key` as people write it. */
const headerName = (name: string) => name.replaceAll(/\b[a-z]/g, (letter) => letter.toUpperCase())

const withExample = (content: Content = {}, example: object | undefined): Content =>
  Object.fromEntries(Object.entries(content).map(([type, { schema }]) => [type, { schema, example }]))

const described = (operation: Operation): Operation => {
  const { parameters, requestBody, responses, operationId } = operation
  const { key, request, response } = examples[operationId] ?? {}
  return {
    ...operation,
    parameters: parameters.map((parameter) => ({
      ...parameter,
      name: parameter.in === "header" ? headerName(parameter.name) : parameter.name,
      example: parameter.name === "idempotency-key" ? key : parameterExamples[parameter.name]
    })),
    ...(requestBody === undefined
      ? {}
      : { requestBody: { ...requestBody, content: withExample(requestBody.content, request) } }),
    responses: Object.fromEntries(
      Object.entries(responses)
        // Only a body can be too large, only what is sent can be malformed.
        .filter(([status]) => status !== "413" || requestBody !== undefined)
        .filter(([status]) => status !== "400" || requestBody !== undefined || parameters.length > 0)
        .map(([status, each]) => [
          status,
          status < "400" ? { ...each, content: withExample(each.content, response) } : each
        ])
    )
  }
}

const parametersOf = (path: string) => [...path.matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => name)

/**
 * Paths that differ in a parameter's name only are one path to OpenAPI: their operations are put together, under the
 * name that came first.
 */
const paths: Record<string, Record<string, Operation>> = {}
for (const [path, item] of Object.entries(generated.paths)) {
  const unnamed = path.replaceAll(/\{\w+\}/g, "{}")
  const first = Object.keys(paths).find((each) => each.replaceAll(/\{\w+\}/g, "{}") === unnamed) ?? path
  const names = new Map(parametersOf(path).map((name, index) => [name, parametersOf(first)[index] ?? name]))
  const operations = (paths[first] ??= {})
  for (const [method, operation] of Object.entries(item)) {
    const { parameters, ...rest } = described(operation)
    operations[method] = {
      ...rest,
      parameters: parameters.map((each) => ({ ...each, name: names.get(each.name) ?? each.name }))
    }
  }
}

const eventsTag = "Events"

const eventParameters: Operation["parameters"] = Object.entries(eventHeaders).map(
  ([name, { description, example }]) => ({
    name,
    in: "header",
    required: true,
    schema: { type: "string", description },
    example
  })
)

const webhooks: Operations = Object.fromEntries(
  events.map(({ type, when, schema, example }) => [
    type,
    {
      post: {
        tags: [eventsTag],
        operationId: `events.${type}`,
        summary: when,
        parameters: eventParameters,
        security: [],
        requestBody: {
          required: true,
          content: { "application/json": { schema: clean(Schema.toJsonSchemaDocument(schema).schema), example } }
        },
        responses: { "2XX": { description: "Taken" } }
      }
    }
  ])
)

const schemas = Object.entries(generated.components.schemas).map(([name, schema]) =>
  // Only problems are classes. What stands under their own name leads here.
  name.endsWith("Encoded") ? ([name.slice(0, -"Encoded".length), problem(schema)] as const) : ([name, schema] as const)
)

export const openApi = {
  ...generated,
  paths,
  webhooks,
  components: { ...generated.components, schemas: Object.fromEntries(schemas) },
  tags: [...generated.tags, { name: eventsTag, description: eventProtocol }]
}

/** The document of an installation, by the address at which clients reach it. */
export const openApiAt = (url: string) => {
  const { openapi, info, ...rest } = openApi
  return { openapi, info, servers: [{ url }] as const, ...rest }
}
