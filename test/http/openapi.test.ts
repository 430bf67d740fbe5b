import { expect, test } from "vitest"
import * as errors from "../../src/contract/errors.ts"
import { openApi } from "../../src/contract/openapi.ts"
import { database } from "../support/database.ts"
import { authService, startService } from "./support.ts"

const db = await database()
const auth = await authService()
const service = await startService(db, auth)

const operations = Object.entries(openApi.paths).flatMap(([path, item]) =>
  Object.entries(item).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation }))
)

// After a wanted change: npm run golden, and read the difference.
test("the document is the one that was agreed on", async () => {
  const { status, json } = await service.request("GET", "/openapi.json")
  expect(status).toBe(200)
  await expect(`${JSON.stringify(json, null, 2)}\n`).toMatchFileSnapshot("../golden/openapi.json")
})

test("every reference leads somewhere", () => {
  const text = JSON.stringify(openApi)
  const names = new Set([...text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map(([, name]) => name))
  expect([...names].filter((name) => name === undefined || !(name in openApi.components.schemas))).toEqual([])
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

test("every route of the document is served", async () => {
  for (const { method, path } of operations) {
    const { status, json } = await service.request(method, path.replaceAll(/[{}]/g, ""))
    // A 404 about what is asked for is an answer of the route; `not_found` is the router's.
    expect([status, json.code], `${method} ${path}`).not.toEqual([404, "not_found"])
    const isOff = json.code === "payments_not_configured"
    expect([200, 400, 401, 404, ...(isOff ? [503] : [])], `${method} ${path}`).toContain(status)
  }
})

test("the readable page has every route and every error, and fetches nothing", async () => {
  const { status, text, headers } = await service.request("GET", "/docs")
  expect([status, headers.get("content-type")]).toEqual([200, "text/html"])
  for (const { path } of operations) expect(text).toContain(path)
  for (const { code } of Object.values(errors)) expect(text).toContain(`id="${code}"`)
  expect(text).not.toMatch(/<script|<link|<img|src=|@import|url\(/)
  const anchors = [...text.matchAll(/href="#([^"]+)"/g)].map(([, anchor]) => anchor)
  expect(anchors.filter((anchor) => !text.includes(`id="${anchor}"`))).toEqual([])
})
