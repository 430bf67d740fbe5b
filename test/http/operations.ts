/** Every operation of the contract as its OpenAPI document has it: for tests that go over all of them. */
import { Context, Option } from "effect"
import { HttpApi } from "effect/http-api"
import { Api } from "../../src/contract/api.ts"
import { AdminAuth, ServiceAuth, UserAuth } from "../../src/contract/auth.ts"
import { NeedsScope, type Scope } from "../../src/contract/scopes.ts"
import { type Operation as Documented, openApi, type Shape } from "../../src/contract/openapi.ts"

export type { Shape }
export type Parameter = Documented["parameters"][number]

/** Whom an operation lets in, as its middleware says; `open` are those without any. */
export type Access = "open" | "user" | "admin" | "service"

const doors = [
  ["user", UserAuth],
  ["admin", AdminAuth],
  ["service", ServiceAuth]
] as const

interface Route {
  readonly access: Access
  readonly scope: Scope | undefined
  /** `/api/v1/gifts/{id}`, as the contract names its parameters. */
  readonly path: string
}

const routes = new Map<string, Route>()
HttpApi.reflect(Api, {
  onGroup: () => undefined,
  onEndpoint: ({ group, endpoint, middleware }) => {
    const keys = new Set([...middleware].map(({ key }) => key))
    const [access = "open"] = doors.filter(([, { key }]) => keys.has(key)).map(([name]) => name)
    routes.set(`${group.identifier}.${endpoint.identifier}`, {
      access,
      scope: Option.getOrUndefined(Context.getOption(endpoint.annotations, NeedsScope)),
      path: endpoint.path.replaceAll(/:(\w+)/g, "{$1}")
    })
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

/** A parameter as the contract has it: the document names those of one path alike, and headers as people write them. */
const asDeclared = ({ name, ...rest }: Parameter, documented: string, { path }: Route): Parameter => {
  const segment = documented.split("/").indexOf(`{${name}}`)
  const declared = rest.in === "path" ? path.split("/")[segment]?.slice(1, -1) : name.toLowerCase()
  return { ...rest, name: rest.in === "query" ? name : (declared ?? name) }
}

export const operations: ReadonlyArray<Operation> = Object.entries(openApi.paths).flatMap(([documented, methods]) =>
  Object.entries(methods).map(([method, { operationId: id, parameters, requestBody, responses }]) => {
    const route = routes.get(id)
    if (route === undefined) throw new Error(`${id} is in the document and not in the contract`)
    return {
      ...route,
      id,
      method: method.toUpperCase(),
      parameters: parameters.map((each) => asDeclared(each, documented, route)),
      body: requestBody?.content["application/json"]?.schema,
      answers: Object.fromEntries(
        Object.entries(responses).flatMap(([status, { content = {} }]) =>
          Object.entries(content).map(([type, { schema }]) => [status, { type, shape: schema }])
        )
      )
    }
  })
)

/** The operations that a reflection of the contract finds, in the document or not. */
export const operationIds: ReadonlyArray<string> = [...routes.keys()]

/** A shape with its reference followed. */
export const resolved = (shape: Shape): Shape => {
  if (shape.$ref === undefined) return shape
  const found = openApi.components.schemas[shape.$ref.replace("#/components/schemas/", "")]
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
