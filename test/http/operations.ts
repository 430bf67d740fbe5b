/** Every operation of the contract as its OpenAPI document has it: for tests that go over all of them. */
import { HttpApi } from "@effect/platform"
import { Context, Option, Schema } from "effect"
import { Api } from "../../src/contract/api.ts"
import { AdminAuth, ServiceAuth, UserAuth } from "../../src/contract/auth.ts"
import { NeedsScope, type Scope } from "../../src/contract/scopes.ts"
import { openApi } from "../../src/contract/openapi.ts"

/** The part of JSON Schema that the contract uses. */
export interface Shape {
  readonly $ref?: string
  readonly type?: string
  readonly format?: string
  readonly enum?: ReadonlyArray<unknown>
  readonly anyOf?: ReadonlyArray<Shape>
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

const exactly = { exact: true } as const
const some = <A, I>(schema: Schema.Schema<A, I>) => Schema.optionalWith(schema, exactly)
const nested: Schema.Schema<Shape> = Schema.suspend(() => Shape)

const Shape: Schema.Schema<Shape> = Schema.Struct({
  $ref: some(Schema.String),
  type: some(Schema.String),
  format: some(Schema.String),
  enum: some(Schema.Array(Schema.Unknown)),
  anyOf: some(Schema.Array(nested)),
  items: some(nested),
  properties: some(Schema.Record({ key: Schema.String, value: nested })),
  required: some(Schema.Array(Schema.String)),
  minimum: some(Schema.Number),
  maximum: some(Schema.Number),
  minLength: some(Schema.Number),
  maxLength: some(Schema.Number),
  minItems: some(Schema.Number),
  maxItems: some(Schema.Number)
})

const Content = Schema.Record({ key: Schema.String, value: Schema.Struct({ schema: Shape }) })

const Parameter = Schema.Struct({
  name: Schema.String,
  in: Schema.Literal("path", "query", "header"),
  required: Schema.Boolean,
  schema: Shape
})
export type Parameter = typeof Parameter.Type

const Document = Schema.Struct({
  paths: Schema.Record({
    key: Schema.String,
    value: Schema.Record({
      key: Schema.String,
      value: Schema.Struct({
        operationId: Schema.String,
        parameters: Schema.Array(Parameter),
        requestBody: some(Schema.Struct({ content: Content })),
        responses: Schema.Record({ key: Schema.String, value: Schema.Struct({ content: some(Content) }) })
      })
    })
  }),
  components: Schema.Struct({ schemas: Schema.Record({ key: Schema.String, value: Shape }) })
})

const document = Schema.decodeUnknownSync(Document)(JSON.parse(JSON.stringify(openApi)))

/** Whom an operation lets in, as its middleware says; `open` are those without any. */
export type Access = "open" | "user" | "admin" | "service"

const doors = [
  ["user", UserAuth],
  ["admin", AdminAuth],
  ["service", ServiceAuth]
] as const

const accessById = new Map<string, Access>()
const scopeById = new Map<string, Scope>()
HttpApi.reflect(Api, {
  onGroup: () => undefined,
  onEndpoint: ({ group, endpoint, middleware }) => {
    const keys = new Set([...middleware].map(({ key }) => key))
    const [access = "open"] = doors.filter(([, { key }]) => keys.has(key)).map(([name]) => name)
    accessById.set(`${group.identifier}.${endpoint.name}`, access)
    const scope = Option.getOrUndefined(Context.getOption(endpoint.annotations, NeedsScope))
    if (scope !== undefined) scopeById.set(`${group.identifier}.${endpoint.name}`, scope)
  }
})

export interface Operation {
  /** `credits.use` */
  readonly id: string
  readonly method: string
  /** `/api/v1/gifts/{code}` */
  readonly path: string
  readonly access: Access
  /** What a service key must be good for. */
  readonly scope: Scope | undefined
  readonly parameters: ReadonlyArray<Parameter>
  readonly body: Shape | undefined
  /** By status: the type and the shape of what is answered. */
  readonly answers: Readonly<Record<string, { readonly type: string; readonly shape: Shape }>>
}

export const operations: ReadonlyArray<Operation> = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, { operationId: id, parameters, requestBody, responses }]) => {
    const access = accessById.get(id)
    if (access === undefined) throw new Error(`${id} is in the document and not in the contract`)
    return {
      id,
      method: method.toUpperCase(),
      path,
      access,
      scope: scopeById.get(id),
      parameters,
      body: requestBody?.content["application/json"]?.schema,
      answers: Object.fromEntries(
        Object.entries(responses).flatMap(([status, { content }]) =>
          Object.entries(content ?? {}).map(([type, { schema }]) => [status, { type, shape: schema }])
        )
      )
    }
  })
)

/** The operations that a reflection of the contract finds, in the document or not. */
export const operationIds: ReadonlyArray<string> = [...accessById.keys()]

/** A shape with its reference followed. */
export const resolved = (shape: Shape): Shape => {
  if (shape.$ref === undefined) return shape
  const found = document.components.schemas[shape.$ref.replace("#/components/schemas/", "")]
  if (found === undefined) throw new Error(`${shape.$ref} leads nowhere`)
  return resolved(found)
}

/** Values by the name of a field or parameter, for what a shape can't know: whose id, which code. */
export type Known = Readonly<Record<string, unknown>>

const example = (name: string, shape: Shape, known: Known): unknown => {
  if (Object.hasOwn(known, name)) return known[name]
  const { type, format, enum: words, anyOf, items, minimum, properties = {}, required = [] } = resolved(shape)
  const [first] = anyOf ?? []
  if (first !== undefined) return example(name, first, known)
  if (words !== undefined) return words[0]
  switch (type) {
    case "integer":
    case "number":
      return minimum ?? 1
    case "boolean":
      return true
    case "string":
      return format === "uuid" ? "00000000-0000-7000-8000-000000000000" : name
    case "array":
      return items === undefined ? [] : [example(name, items, known)]
    default:
      return Object.fromEntries(
        Object.entries(properties)
          .filter(([key]) => required.includes(key) || Object.hasOwn(known, key))
          .map(([key, value]) => [key, example(key, value, known)])
      )
  }
}

export interface Ask {
  readonly method: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string | ReadonlyArray<string>>>
  readonly body?: string | Uint8Array
}

/** A request that an operation takes, provided that the values known by name are good: required fields, and those. */
export const exampleOf = ({ method, path, parameters, body }: Operation, known: Known): Ask => {
  const wanted = parameters.filter(({ required }) => required)
  const filled = wanted.reduce(
    (text, { name, schema }) => text.replace(`{${name}}`, encodeURIComponent(String(example(name, schema, known)))),
    path
  )
  return {
    method,
    path: filled,
    ...(body === undefined
      ? {}
      : { headers: { "content-type": "application/json" }, body: JSON.stringify(example("body", body, known)) })
  }
}
