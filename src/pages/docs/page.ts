/** The readable page at /docs: the OpenAPI document as HTML, with nothing to fetch and nothing to run. */
import { Schema } from "effect"
import type { Operation, openApiAt, Shape } from "../../contract/openapi.ts"
import * as problems from "../../contract/problems.ts"
import { style } from "./style.ts"

type Document = ReturnType<typeof openApiAt>

const escapes: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" }
const escaped = (text: string) => text.replace(/[&<>"]/g, (character) => escapes[character] ?? character)
/** Text in which `code` is marked as people mark it. */
const prose = (text: string) => escaped(text).replace(/`([^`]+)`/g, "<code>$1</code>")
const code = (text: string) => `<code>${escaped(text)}</code>`
const small = (text: string) => `<small>${text}</small>`

const bounds = ({ minimum, maximum, minLength, maxLength, format }: Shape) => {
  const number = (value: number) => value.toLocaleString("en")
  if (minimum !== undefined && maximum !== undefined) return ` ${number(minimum)} to ${number(maximum)}`
  if (minLength !== undefined && maxLength !== undefined) return `, ${minLength} to ${maxLength} characters`
  return format === undefined ? "" : ` (${format})`
}

const problemNames = new Set(Object.values(problems).map((kind) => Schema.resolveAnnotations(kind)?.["identifier"]))
/** A problem is found by its code, as its `type` says. */
const codeOf = (component: string) => component.replace(/(?!^)[A-Z]/g, (letter) => `_${letter}`).toLowerCase()

const link = (component: string) =>
  problemNames.has(component)
    ? `<a href="#${codeOf(component)}">${code(codeOf(component))}</a>`
    : `<a href="#${component}">${component}</a>`

/** A shape in a few words. */
const words = (shape: Shape): string => {
  if (shape.$ref !== undefined) return link(shape.$ref.slice(shape.$ref.lastIndexOf("/") + 1))
  if (shape.anyOf !== undefined) return shape.anyOf.map(words).join(" or ")
  if (shape.enum !== undefined) return shape.enum.map((value) => code(JSON.stringify(value))).join(" | ")
  if (shape.type === "array") {
    return `list of ${shape.maxItems === undefined ? "" : `${shape.minItems} to ${shape.maxItems} `}${words(shape.items ?? {})}`
  }
  if (shape.properties !== undefined) {
    return `{ ${Object.entries(shape.properties)
      .map(([name, each]) => `${escaped(name)}: ${words(each)}`)
      .join(", ")} }`
  }
  return escaped(`${shape.type ?? "anything"}${bounds(shape)}`)
}

const table = (rows: ReadonlyArray<string>) => (rows.length === 0 ? "" : `<table>${rows.join("\n")}</table>`)

const row = (name: string, about: string, shape: Shape) =>
  `<tr><th>${code(name)} ${small(about)}</th><td>${words(shape)}` +
  `${shape.description === undefined ? "" : `<br>${small(prose(shape.description))}`}</td></tr>`

/** Fields as rows, or the whole in words where it has none. */
const fields = (shape: Shape) =>
  shape.properties === undefined
    ? `<p>${words(shape)}</p>`
    : table(
        Object.entries(shape.properties).map(([name, each]) =>
          row(name, shape.required?.includes(name) === true ? "" : "optional", each)
        )
      )

const parameterTable = (parameters: Operation["parameters"]) =>
  table(
    parameters.map(({ name, in: place, required, schema }) =>
      row(name, required ? place : `${place}, optional`, schema)
    )
  )

const bodiesOf = (content: NonNullable<Operation["requestBody"]>["content"] = {}) => Object.values(content)
const exampleHtml = (value: unknown) =>
  `<details><summary>Example</summary><pre>${escaped(JSON.stringify(value, null, 2))}</pre></details>`
const heading = (name: string) => `<h2 id="${encodeURIComponent(name)}">${escaped(name)}</h2>`

const who: Readonly<Record<string, string>> = { bearer: "signed-in person", serviceKey: "service key" }
const credentials: Readonly<Record<string, string>> = {
  bearer: "Authorization: Bearer $TOKEN",
  serviceKey: "X-Service-Key: $SERVICE_KEY"
}
const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`

/** A request to paste into a shell. */
const curl = (url: string, method: string, path: string, { parameters, security, requestBody }: Operation) => {
  const bodies = bodiesOf(requestBody?.content)
  return [
    `curl ${method === "get" || bodies.length > 0 ? "" : `-X ${method.toUpperCase()} `}` +
      parameters.reduce((text, { name, example }) => text.replace(`{${name}}`, String(example)), `${url}${path}`),
    ...security.flatMap((each) => Object.keys(each)).map((name) => `-H "${credentials[name]}"`),
    ...parameters
      .filter(({ in: place }) => place === "header")
      .map(({ name, example }) => `-H ${quoted(`${name}: ${example}`)}`),
    ...bodies.flatMap(({ example }) => ["-H 'Content-Type: application/json'", `-d ${quoted(JSON.stringify(example))}`])
  ].join(" \\\n  ")
}

/** An operation where it is found. */
interface Place {
  readonly method: string
  readonly path: string
  readonly operation: Operation
}

const operationHtml = (url: string, { method, path, operation }: Place) => {
  const callers = operation.security
    .flatMap((each) => Object.entries(each))
    .map(([name, scopes]) => [who[name] ?? name, ...scopes.map((scope) => `with ${code(scope)}`)].join(" "))
  const answers = Object.entries(operation.responses).map(([status, { content }]) => ({
    status,
    bodies: bodiesOf(content)
  }))
  return [
    `<section class="operation" id="${operation.operationId}">`,
    `<h3><span class="method">${method.toUpperCase()}</span> ${code(path)}</h3>`,
    `<p>${prose(operation.summary ?? "")}. ${small(`For: ${callers.join(", ") || "everybody"}.`)}</p>`,
    operation.description === undefined ? "" : `<p>${prose(operation.description)}</p>`,
    parameterTable(operation.parameters),
    ...bodiesOf(operation.requestBody?.content).map(({ schema }) => `<h4>Body</h4>${fields(schema)}`),
    `<pre>${escaped(curl(url, method, path, operation))}</pre>`,
    ...answers
      .filter(({ status }) => status < "400")
      .flatMap(({ status, bodies }) =>
        bodies.map(({ schema, example }) => `<h4>${status}</h4>${fields(schema)}${exampleHtml(example)}`)
      ),
    `<p>${small(
      `Errors: ${answers
        .filter(({ status }) => status >= "400")
        .map(({ status, bodies }) => `${status} ${bodies.map(({ schema }) => words(schema)).join("")}`)
        .join(", ")}`
    )}</p>`,
    "</section>"
  ].join("\n")
}

const eventHtml = ({ path: type, operation: { summary = "", requestBody } }: Place) =>
  `<section class="operation" id="${type}"><h3>${code(type)}</h3><p>${prose(summary)}.</p>${bodiesOf(
    requestBody?.content
  )
    .map(({ schema, example }) => `${fields(schema.properties?.["data"] ?? {})}${exampleHtml(example)}`)
    .join("")}</section>`

/** The fields of every problem, besides its facts. */
const members = ["type", "title", "status", "detail", "code", "message"]

const problemHtml = (component: string, { properties = {}, required = [] }: Shape) => {
  const facts = Object.entries(properties).filter(([name]) => !members.includes(name))
  const fixed = (name: string) => escaped(String(properties[name]?.enum?.join()))
  return (
    `<section class="operation" id="${codeOf(component)}"><h3>${code(codeOf(component))}</h3>` +
    `<p>${fixed("status")}: ${fixed("title")}.</p>${facts.length === 0 ? "" : fields({ properties: Object.fromEntries(facts), required })}</section>`
  )
}

/** Every header that a request may carry, once. */
const headersHtml = ({ paths, components }: Document) => {
  const shapes = new Map<string, Shape>()
  for (const { name = "Authorization", description = "" } of Object.values(components.securitySchemes)) {
    shapes.set(name, { type: name === "Authorization" ? "Bearer <token>" : "string", description })
  }
  for (const { name, in: place, schema } of Object.values(paths).flatMap((item) =>
    Object.values(item).flatMap(({ parameters }) => parameters)
  )) {
    if (place === "header") shapes.set(name, schema)
  }
  return table([...shapes].map(([name, shape]) => row(name, "", shape)))
}

/** The page of a document. */
export const docsPage = (document: Document) => {
  const { info, servers, tags, paths, webhooks, components } = document
  const operationsOf = (tag: string, of: typeof paths) =>
    Object.entries(of).flatMap(([path, item]) =>
      Object.entries(item)
        .filter(([, operation]) => operation.tags.includes(tag))
        .map(([method, operation]) => ({ method, path, operation }))
    )
  const tagHtml = ({ name, description = "" }: (typeof tags)[number]) => {
    const events = operationsOf(name, webhooks)
    return [
      heading(name),
      description === "" ? "" : `<p>${prose(description)}</p>`,
      ...operationsOf(name, paths).map((each) => operationHtml(servers[0].url, each)),
      // All have the same headers.
      parameterTable(events[0]?.operation.parameters ?? []),
      ...events.map(eventHtml)
    ].join("\n")
  }
  const schemas = Object.entries(components.schemas)
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
<p>${prose(info.description ?? "")} For machines: <a href="/openapi.json">openapi.json</a>.</p>
<nav>${["Headers", ...tags.map(({ name }) => name), "Errors", "Shapes"]
    .map((name) => `<a href="#${encodeURIComponent(name)}">${escaped(name)}</a>`)
    .join(" ")}</nav>
${heading("Headers")}
${headersHtml(document)}
${tags.map(tagHtml).join("\n")}
${heading("Errors")}
<p><code>application/problem+json</code>: ${members.map(code).join(", ")}
(<code>message</code> is the same as <code>detail</code>), and the facts.</p>
${schemas
  .filter(([name]) => problemNames.has(name))
  .map(([name, shape]) => problemHtml(name, shape))
  .join("\n")}
${heading("Shapes")}
${schemas
  .filter(([name]) => !problemNames.has(name))
  .map(([name, shape]) => `<h3 id="${name}">${name}</h3>${fields(shape)}`)
  .join("\n")}
</main>
</body>
</html>
`
}
