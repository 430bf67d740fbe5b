import { expect, test } from "vitest"
import { openApiAt } from "../../src/contract/openapi.ts"
import { database } from "../support/database.ts"
import { operations } from "./operations.ts"
import { authService, startService } from "./support.ts"

const db = await database()
const auth = await authService()
const service = await startService(db, auth)

test("the document is served, with the address of the installation", async () => {
  const { status, json } = await service.request("GET", "/openapi.json")
  expect(status).toBe(200)
  expect(json).toEqual(JSON.parse(JSON.stringify(openApiAt("https://credits.example"))))
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

test("the readable page is served, and may run and fetch nothing", async () => {
  const { status, text, headers } = await service.request("GET", "/docs")
  expect([status, headers.get("content-type")]).toEqual([200, "text/html"])
  expect(headers.get("content-security-policy")).toMatch(/^default-src 'none'; style-src 'unsafe-inline';/)
  expect(text).toMatch(/^<!doctype html>.*<\/html>\n$/s)
})
