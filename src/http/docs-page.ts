/** The readable page at /docs: the OpenAPI document as HTML, with nothing to fetch and nothing to run. */
import { Schema } from "effect"
import * as errors from "../contract/errors.ts"
import { openApi } from "../contract/openapi.ts"
import { style } from "./docs-style.ts"

/** The part of JSON Schema that the contract uses. */
interface Shape {
  readonly $ref?: string
  readonly type?: string
  readonly format?: string
  readonly description?: string
  readonly enum?: ReadonlyArray<unknown>
  readonly anyOf?: ReadonlyArray<Shape>
  readonly items?: Shape
  readonly properties?: Readonly<Record<string, Shape>>
  readonly required?: ReadonlyArray<string>
  readonly minimum?: number
  readonly maximum?: number
  readonly minLength?: number
  readonly maxLength?: number
}

const Shape: Schema.Schema<Shape> = Schema.Struct({
  $ref: Schema.optionalWith(Schema.String, { exact: true }),
  type: Schema.optionalWith(Schema.String, { exact: true }),
  format: Schema.optionalWith(Schema.String, { exact: true }),
  description: Schema.optionalWith(Schema.String, { exact: true }),
  enum: Schema.optionalWith(Schema.Array(Schema.Unknown), { exact: true }),
  anyOf: Schema.optionalWith(Schema.Array(Schema.suspend(() => Shape)), { exact: true }),
  items: Schema.optionalWith(
    Schema.suspend(() => Shape),
    { exact: true }
  ),
  properties: Schema.optionalWith(Schema.Record({ key: Schema.String, value: Schema.suspend(() => Shape) }), {
    exact: true
  }),
  required: Schema.optionalWith(Schema.Array(Schema.String), { exact: true }),
  minimum: Schema.optionalWith(Schema.Number, { exact: true }),
  maximum: Schema.optionalWith(Schema.Number, { exact: true }),
  minLength: Schema.optionalWith(Schema.Number, { exact: true }),
  maxLength: Schema.optionalWith(Schema.Number, { exact: true })
})

const Content = Schema.Record({ key: Schema.String, value: Schema.Struct({ schema: Shape }) })

const Operation = Schema.Struct({
  tags: Schema.Array(Schema.String),
  operationId: Schema.String,
  summary: Schema.optional(Schema.String),
  description: Schema.optional(Schema.String),
  security: Schema.Array(Schema.Record({ key: Schema.String, value: Schema.Array(Schema.String) })),
  parameters: Schema.Array(
    Schema.Struct({ name: Schema.String, in: Schema.String, required: Schema.Boolean, schema: Shape })
  ),
  requestBody: Schema.optional(Schema.Struct({ content: Content })),
  responses: Schema.Record({
    key: Schema.String,
    value: Schema.Struct({ description: Schema.String, content: Schema.optional(Content) })
  })
})
type Operation = typeof Operation.Type

const Document = Schema.Struct({
  info: Schema.Struct({ title: Schema.String, description: Schema.String }),
  tags: Schema.Array(Schema.Struct({ name: Schema.String })),
  paths: Schema.Record({ key: Schema.String, value: Schema.Record({ key: Schema.String, value: Operation }) }),
  components: Schema.Struct({ schemas: Schema.Record({ key: Schema.String, value: Shape }) })
})

const escapes: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" }
const escaped = (text: string) => text.replace(/[&<>"]/g, (character) => escapes[character] ?? character)
/** Text in which `code` is marked as people mark it. */
const prose = (text: string) => escaped(text).replace(/`([^`]+)`/g, "<code>$1</code>")

const kinds = Object.values(errors)
const componentOf = (ref: string) => ref.slice(ref.lastIndexOf("/") + 1)
const codeOf = (component: string) => component.replace(/(?!^)[A-Z]/g, (letter) => `_${letter}`).toLowerCase()
const isProblem = (component: string) => kinds.some(({ code }) => code === codeOf(component))

const link = (component: string) =>
  isProblem(component)
    ? `<a href="#${codeOf(component)}"><code>${codeOf(component)}</code></a>`
    : `<a href="#${component}">${component}</a>`

const bounds = ({ minimum, maximum, minLength, maxLength, format }: Shape) => {
  const number = (value: number) => value.toLocaleString("en")
  if (minimum !== undefined && maximum !== undefined) return ` ${number(minimum)} to ${number(maximum)}`
  if (minLength !== undefined && maxLength !== undefined) return `, ${minLength} to ${maxLength} characters`
  return format === undefined ? "" : ` (${format})`
}

/** A shape in a few words. */
const words = (shape: Shape): string => {
  if (shape.$ref !== undefined) return link(componentOf(shape.$ref))
  if (shape.anyOf !== undefined) return shape.anyOf.map(words).join(" or ")
  if (shape.enum !== undefined)
    return shape.enum.map((value) => `<code>${escaped(JSON.stringify(value))}</code>`).join(" | ")
  if (shape.items !== undefined) return `list of ${words(shape.items)}`
  if (shape.properties !== undefined) {
    return `{ ${Object.entries(shape.properties)
      .map(([name, each]) => `${escaped(name)}: ${words(each)}`)
      .join(", ")} }`
  }
  return escaped(`${shape.type ?? "anything"}${bounds(shape)}`)
}

const table = (rows: ReadonlyArray<readonly [name: string, where: string, shape: Shape]>) =>
  `<table>${rows
    .map(
      ([name, where, shape]) =>
        `<tr><th><code>${escaped(name)}</code> <small>${where}</small></th><td>${words(shape)}` +
        `${shape.description === undefined ? "" : `<br><small>${prose(shape.description)}</small>`}</td></tr>`
    )
    .join("")}</table>`

/** Fields as rows, or the whole in words where it has none. */
const fields = (shape: Shape) =>
  shape.properties === undefined
    ? `<p>${words(shape)}</p>`
    : table(
        Object.entries(shape.properties).map(([name, each]) => [
          name,
          shape.required?.includes(name) === true ? "" : "optional",
          each
        ])
      )

const who: Readonly<Record<string, string>> = { bearer: "signed-in person", serviceKey: "service key" }

const schemasOf = (content: Readonly<Record<string, { readonly schema: Shape }>> | undefined) =>
  Object.values(content ?? {}).map(({ schema }) => schema)

const operationHtml = (method: string, path: string, operation: Operation) => {
  const callers = operation.security
    .flatMap((each) => Object.entries(each))
    .map(([name, scopes]) => [who[name] ?? name, ...scopes.map((scope) => `with <code>${scope}</code>`)].join(" "))
  const answers = Object.entries(operation.responses)
  return [
    `<section class="operation" id="${operation.operationId}">`,
    `<h3><span class="method">${method.toUpperCase()}</span> <code>${escaped(path)}</code></h3>`,
    `<p>${prose(operation.summary ?? "")}. <small>For: ${callers.join(", ") || "everybody"}.</small></p>`,
    operation.description === undefined ? "" : `<p>${prose(operation.description)}</p>`,
    operation.parameters.length === 0
      ? ""
      : table(
          operation.parameters.map((each) => [each.name, each.required ? each.in : `${each.in}, optional`, each.schema])
        ),
    ...schemasOf(operation.requestBody?.content).map((shape) => `<h4>Body</h4>${fields(shape)}`),
    ...answers
      .filter(([status]) => status < "400")
      .map(([status, { content }]) => `<h4>${status}</h4>${schemasOf(content).map(fields).join("")}`),
    `<p><small>Errors: ${answers
      .filter(([status]) => status >= "400")
      .map(([status, { content }]) => `${status} ${schemasOf(content).map(words).join("")}`)
      .join(", ")}</small></p>`,
    "</section>"
  ].join("\n")
}

const problemHtml = ({
  code,
  status,
  title
}: {
  readonly code: string
  readonly status: number
  readonly title: string
}) => `<tr id="${code}"><th><code>${code}</code></th><td>${status}</td><td>${escaped(title)}</td></tr>`

const render = () => {
  const { info, tags, paths, components } = Schema.decodeUnknownSync(Document)(openApi)
  const operations = Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ method, path, operation }))
  )
  const shapes = Object.entries(components.schemas).filter(([name]) => !isProblem(name))
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(info.title)}</title>
<style>${style}</style>
</head>
<body>
<main>
<h1>${escaped(info.title)}</h1>
<p>${prose(info.description)} For machines: <a href="/openapi.json">openapi.json</a>.</p>
<nav>${[...tags.map(({ name }) => name), "Errors", "Shapes"]
    .map((name) => `<a href="#${encodeURIComponent(name)}">${escaped(name)}</a>`)
    .join(" ")}</nav>
${tags
  .map(
    ({ name }) =>
      `<h2 id="${encodeURIComponent(name)}">${escaped(name)}</h2>${operations
        .filter(({ operation }) => operation.tags.includes(name))
        .map(({ method, path, operation }) => operationHtml(method, path, operation))
        .join("\n")}`
  )
  .join("\n")}
<h2 id="Errors">Errors</h2>
<p><code>application/problem+json</code>: <code>type</code>, <code>title</code>, <code>status</code>,
<code>detail</code>, <code>code</code>, <code>message</code> (the same as <code>detail</code>), and the facts.</p>
<table>${kinds.map(problemHtml).join("\n")}</table>
<h2 id="Shapes">Shapes</h2>
${shapes.map(([name, shape]) => `<h3 id="${name}">${name}</h3>${fields(shape)}`).join("\n")}
</main>
</body>
</html>
`
}

export const docsPage = render()
