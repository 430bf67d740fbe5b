import * as fs from "node:fs"
import { expect, test } from "vitest"
import { Schema } from "effect"
import { HttpRouter } from "effect/http"
import { sqlstatesOf } from "../../src/contract/problem.ts"
import * as problems from "../../src/contract/problems.ts"
import { database } from "../support/database.ts"
import { authService, serviceKey, startService } from "./support.ts"

const db = await database()
const auth = await authService()
const service = await startService(db, auth)

/** The rows of the table in sql/errors.md: SQLSTATE, meaning, facts, HTTP, code. */
const catalogue = fs
  .readFileSync(new URL("../../sql/errors.md", import.meta.url), "utf8")
  .split("\n")
  .filter((line) => line.startsWith("| CR"))
  .map((line) => line.split("|").map((cell) => cell.trim().replaceAll("`", "")))
  .map(([, sqlstate, , , status, code]) => ({ sqlstate, status: Number(status), code }))

test("sql/errors.md and the problems of the contract agree", () => {
  expect(catalogue.length).toBeGreaterThan(5)
  const declared = Object.values(problems).flatMap((problem) => {
    const { fixed, httpApiStatus: status } = Schema.resolveAnnotations(problem) ?? {}
    return sqlstatesOf(problem).map((sqlstate) => ({ sqlstate, status, ...Object(fixed) }))
  })
  const bySqlstate = declared.toSorted((a, b) => a.sqlstate.localeCompare(b.sqlstate))
  expect(bySqlstate.map(({ sqlstate, status, code }) => ({ sqlstate, status, code }))).toEqual(catalogue)
})

test("a route that throws is answered as a mistake of ours", async () => {
  const thrown = HttpRouter.add("GET", "/thrown", () => {
    throw new Error("thrown before there was an effect")
  })
  const throwing = await startService(db, auth, { devRoutes: thrown })
  const { status, json } = await throwing.request("GET", "/thrown")
  expect([status, json.code]).toEqual([500, "internal_error"])
})

test("a mistake of ours is answered with a request id and nothing else of it, and logged with everything", async () => {
  await db.query("alter function credits.pricing() rename to lost")
  const { status, headers, json, text } = await service.request("GET", "/api/v1/credits/pricing", {
    headers: { "x-request-id": "it-broke" }
  })
  await db.query("alter function credits.lost() rename to pricing")
  expect([status, headers.get("content-type")]).toEqual([500, "application/problem+json"])
  expect(json).toEqual({
    type: "https://credits.mana.how/docs#internal_error",
    title: "Our mistake",
    status: 500,
    detail: "Something went wrong on our side. Report it with the request id.",
    code: "internal_error",
    message: json.detail,
    requestId: "it-broke"
  })
  expect(text).not.toMatch(/pricing|select|function|\.ts/)
  const logged = service.lines.filter((line) => line.includes('"requestId":"it-broke"'))
  expect(logged).toHaveLength(2)
  expect(logged[0]).toContain("credits.pricing")
})

test("a refusal that the route doesn't declare is a mistake of ours", async () => {
  await db.query(`create or replace function credits.init(p_user_id text) returns jsonb language plpgsql security definer
    as $$ begin raise exception using errcode = 'CR999', message = 'secret', detail = '{}'; end $$`)
  const { status, json, text } = await service.request("POST", "/api/v1/internal/credits/init", {
    headers: { "x-service-key": serviceKey },
    body: { userId: "x" }
  })
  expect([status, json.code]).toEqual([500, "internal_error"])
  expect(text).not.toContain("secret")
})

test("an answer of the database that isn't as agreed is a mistake of ours", async () => {
  await db.query(`create or replace function credits.balance(p_user_id text, p_at timestamptz default null) returns jsonb
    language sql stable security definer as $$ select '{"balance": "many"}'::jsonb $$`)
  const { status, json } = await service.request("GET", "/api/v1/internal/credits/balance/x", {
    headers: { "x-service-key": serviceKey }
  })
  expect([status, json.code]).toEqual([500, "internal_error"])
})
