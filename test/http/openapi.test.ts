import { readFileSync } from "node:fs"
import { Context, Effect, Schema } from "effect"
import { HttpApi, type HttpApiEndpoint } from "effect/http-api"
import { expect, test } from "vitest"
import { Api } from "../../src/contract/api.ts"
import { events } from "../../src/contract/events.ts"
import { openApi, openApiAt, type Operation, type Shape } from "../../src/contract/openapi.ts"
import * as problems from "../../src/contract/problems.ts"
import { docsPage } from "../../src/pages/docs/page.ts"
import { faultOf } from "./fuzz/judge.ts"
import { operations as routes } from "./operations.ts"

const document = openApiAt("https://credits.example")

const placed = (paths: typeof openApi.paths) =>
  Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation }))
  )
const operations = placed(openApi.paths)
const schemas = Object.entries(openApi.components.schemas)
const codes = schemas.flatMap(([, { properties }]) => properties?.["code"]?.enum ?? [])

// After a wanted change: npm run golden, and read the difference.
test("the document is the one that was agreed on", async () => {
  await expect(`${JSON.stringify(document, null, 2)}\n`).toMatchFileSnapshot("../golden/openapi.json")
})

test("every reference leads somewhere", () => {
  const text = JSON.stringify(openApi)
  const names = new Set([...text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map(([, name]) => name))
  expect([...names].filter((name) => name === undefined || !(name in openApi.components.schemas))).toEqual([])
})

test("it says where it is served", () => {
  expect(document.servers).toEqual([{ url: "https://credits.example" }])
})

test("no two paths differ in the name of a parameter only, and a path names its own parameters", () => {
  const paths = Object.keys(openApi.paths).map((path) => path.replaceAll(/\{\w+\}/g, "{}"))
  expect(new Set(paths).size).toBe(paths.length)
  for (const { path, operation } of operations) {
    const inPath = operation.parameters.filter((parameter) => parameter.in === "path")
    expect([...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)).toEqual(inPath.map(({ name }) => name))
  }
  const { get, delete: cancel } = openApi.paths["/api/v1/gifts/{code}"] ?? {}
  expect([get?.parameters[0]?.schema.maxLength, cancel?.parameters[0]?.schema.format]).toEqual([64, "uuid"])
})

test("headers are written as people write them", () => {
  const headers = operations.flatMap(({ operation }) => operation.parameters).filter((each) => each.in === "header")
  const names = new Set(headers.map(({ name }) => name))
  expect([...names].toSorted()).toEqual(["Idempotency-Key", "Stripe-Signature", "X-App-Id"])
})

/** The shapes that the page and the tests can read. */
const keywords = [
  ...["$ref", "type", "format", "description", "enum", "anyOf", "items", "properties", "required"],
  ...["minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"]
]

const shapesIn = (shape: Shape): ReadonlyArray<Shape> => [
  shape,
  ...[...(shape.anyOf ?? []), ...Object.values(shape.properties ?? {})].flatMap(shapesIn),
  ...(shape.items === undefined ? [] : shapesIn(shape.items))
]

const contents = ({ requestBody, responses }: Operation) => [
  ...Object.values(requestBody?.content ?? {}),
  ...Object.values(responses).flatMap(({ content = {} }) => Object.values(content))
]

test("shapes say in few words what they say", () => {
  const all = [...operations, ...placed(openApi.webhooks)].flatMap(({ operation }) => [
    ...operation.parameters.map(({ schema }) => schema),
    ...contents(operation).map(({ schema }) => schema)
  ])
  const shapes = [...all, ...schemas.map(([, shape]) => shape)].flatMap(shapesIn)
  expect([...new Set(shapes.flatMap((shape) => Object.keys(shape)))].filter((key) => !keywords.includes(key))).toEqual(
    []
  )
  for (const { minimum = 0, maximum = 0 } of shapes) {
    expect([minimum, maximum].filter((bound) => Math.abs(bound) === Number.MAX_SAFE_INTEGER)).toEqual([])
  }
  expect(schemas.filter(([name]) => name.endsWith("Encoded"))).toEqual([])
})

test("problems have what every problem has, and nothing that none has", () => {
  expect(codes.toSorted()).toEqual(
    Object.values(problems)
      .map(({ prototype: { _tag } }) => _tag)
      .toSorted()
  )
  for (const [name, { properties = {}, required = [] }] of schemas) {
    if (properties["code"]?.enum === undefined) continue
    expect(required, name).toEqual(expect.arrayContaining(["type", "title", "status", "detail", "code", "message"]))
    expect(Object.keys(properties), name).not.toContain("instance")
  }
})

/** Open to everybody. */
const open = [
  "GET /health",
  "GET /health/ready",
  "GET /api/v1/credits/packages",
  "GET /api/v1/credits/pricing",
  "GET /api/v1/gifts/{code}",
  // Signed in a header of its own.
  "POST /api/v1/webhooks/stripe"
]

test.each(operations)("$method $path: errors are problems, and who may call is said", ({ method, path, operation }) => {
  const failures = Object.entries(operation.responses).filter(([status]) => status >= "400")
  expect(failures.length).toBeGreaterThan(0)
  for (const [, { content }] of failures) expect(Object.keys(content ?? {})).toEqual(["application/problem+json"])
  const isOpen = open.includes(`${method} ${path}`)
  const expected = path.startsWith("/api/v1/internal/") ? ["serviceKey"] : isOpen ? [] : ["bearer"]
  expect(operation.security.flatMap((each) => Object.keys(each))).toEqual(expected)
})

test.each(operations)("$method $path: too large is what has a body, malformed what is sent", ({ operation }) => {
  const { requestBody, parameters, responses } = operation
  expect("413" in responses).toBe(requestBody !== undefined)
  expect("400" in responses).toBe(requestBody !== undefined || parameters.length > 0)
})

const endpoints = new Map<string, HttpApiEndpoint.Top>()
HttpApi.reflect(Api, {
  onGroup: () => undefined,
  onEndpoint: ({ group, endpoint }) => endpoints.set(`${group.identifier}.${endpoint.identifier}`, endpoint)
})

/** Throws what is wrong with a value, a field that the schema doesn't know too. No schema of the contract needs services. */
const check = (schema: Schema.Top | undefined, value: unknown) =>
  schema === undefined
    ? undefined
    : Effect.runSyncWith(Context.makeUnsafe<unknown>(new Map()))(
        Schema.decodeUnknownEffect(schema)(value, { onExcessProperty: "error" })
      )

// By the contract's own names of parameters.
test.each(routes)("$method $path: its examples are good", ({ id, parameters }) => {
  const endpoint = endpoints.get(id)
  const operation = operations.find((each) => each.operation.operationId === id)?.operation
  if (endpoint === undefined || operation === undefined) throw new Error(`${id} is nowhere`)
  for (const [place, schema] of [
    ["path", endpoint.params],
    ["query", endpoint.query],
    ["header", endpoint.headers]
  ] as const) {
    const given = parameters.filter((parameter) => parameter.in === place)
    check(schema, Object.fromEntries(given.map(({ name, example }) => [name, String(example ?? "")])))
  }
  const request = operation.requestBody?.content["application/json"]
  // A payload that isn't JSON may be anything: its schema accepts a missing example too.
  for (const { schemas: payloads } of endpoint.payload.values()) {
    for (const schema of payloads) check(schema, request?.example)
  }
  const [[, success] = []] = Object.entries(operation.responses).filter(([status]) => status < "300")
  for (const schema of endpoint.success) check(schema, success?.content?.["application/json"]?.example)
  for (const { schema, example } of [
    ...Object.values(success?.content ?? {}),
    ...(request === undefined ? [] : [request])
  ]) {
    expect(example).toBeDefined()
    expect(faultOf(schema, example)).toBeUndefined()
  }
})

/** The rows of the table of sql/events.md, `the purchase` spelled out. */
const catalogue = readFileSync("sql/events.md", "utf8")
  .split("\n")
  .flatMap((line) => {
    const [, type, , data = ""] = /^\| `([\w.]+)` +\| (.+?) +\| (.+?) +\|$/.exec(line) ?? []
    return type === undefined ? [] : [{ type, data }]
  })
const wordsOf = (text: string) => [...text.matchAll(/`(\w+)`/g)].map(([, word = ""]) => word)
const purchase = wordsOf(catalogue.find(({ data }) => data.startsWith("the purchase:"))?.data ?? "")

test("the document has the events of the catalogue, all of them", () => {
  expect(catalogue.length).toBeGreaterThan(10)
  expect(Object.keys(openApi.webhooks)).toEqual(catalogue.map(({ type }) => type))
})

test.each(catalogue)("$type carries what the catalogue says", ({ type, data }) => {
  const { post } = openApi.webhooks[type] ?? {}
  const shape = post?.requestBody?.content["application/json"]?.schema.properties?.["data"]
  const { userId, ...properties } = shape?.properties ?? {}
  expect(userId).toEqual({ type: "string" })
  const words = data === "the purchase" ? purchase : wordsOf(data)
  expect(Object.keys(properties).filter((name) => !words.includes(name))).toEqual([])
  const values = Object.values(properties).flatMap(({ enum: each = [], description = "" }) => [...each, description])
  expect(words.filter((word) => !(word in properties) && !values.join().includes(word))).toEqual([])
  expect(post?.parameters.map(({ name }) => name)).toEqual(["webhook-id", "webhook-timestamp", "webhook-signature"])
})

test.each(events)("$type: its example is good", ({ schema, example }) => {
  expect(check(schema, example)).toBeDefined()
})

test("the readable page has all that the document has, and fetches nothing", () => {
  const text = docsPage(document)
  for (const { path, operation } of operations) {
    expect(text).toContain(path)
    expect(text).toContain(`id="${operation.operationId}"`)
  }
  expect(text.match(/<pre>curl /g)).toHaveLength(operations.length)
  expect(text).not.toMatch(/undefined|\[object/)
  for (const type of Object.keys(openApi.webhooks)) expect(text).toContain(`id="${type}"`)
  for (const code of codes) expect(text).toContain(`id="${String(code)}"`)
  const [, facts = ""] = /<section class="operation" id="daily_cap_reached">(.*?)<\/section>/s.exec(text) ?? []
  for (const fact of ["cap", "spent", "retryAfterSeconds"]) expect(facts).toContain(`<code>${fact}</code>`)
  const [, headers = ""] = /id="Headers">(.*?)<h2/s.exec(text) ?? []
  for (const name of ["X-Service-Key", "X-App-Id", "Idempotency-Key"]) expect(headers).toContain(name)
  expect(text).not.toMatch(/<script|<link|<img|src=|@import|url\(/)
  const anchors = [...text.matchAll(/href="#([^"]+)"/g)].map(([, anchor]) => anchor)
  expect(anchors.filter((anchor) => !text.includes(`id="${anchor}"`))).toEqual([])
})
