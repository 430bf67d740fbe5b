import { Redacted } from "effect"
import { expect, test } from "vitest"
import { database } from "../support/database.ts"
import { authService, startService } from "./support.ts"

const db = await database()
const auth = await authService()

const start = (options: Parameters<typeof startService>[2] = {}) => startService(db, auth, { ...options })

/** A port on which nobody listens. */
const nowhere = Redacted.make("postgres://nobody@127.0.0.1:1/nothing")

test.each(["running", "elsewhere"] as const)("ready, with the worker %s", async (worker) => {
  const service = await start({ worker })
  expect((await service.request("GET", "/health")).json).toEqual({ status: "ok", uptimeSeconds: expect.any(Number) })
  const { status, json } = await service.request("GET", "/health/ready")
  expect(json).toEqual({ status: "ready", database: "migrated", worker })
  expect(status).toBe(200)
})

test("not ready without the worker", async () => {
  const service = await start({ worker: "stopped" })
  const { status, json, headers } = await service.request("GET", "/health/ready")
  expect([status, json.code, headers.get("retry-after")]).toEqual([503, "unavailable", "5"])
  expect(json.detail).toBe("The worker doesn't run.")
})

test("not ready on a database that lacks a migration", async () => {
  const service = await start()
  const [removed] = await db.query(
    `delete from graphile_migrate.migrations
     where filename = (select max(filename) from graphile_migrate.migrations) returning *`
  )
  expect((await service.request("GET", "/health/ready")).status).toBe(503)
  await db.query(
    `insert into graphile_migrate.migrations select * from jsonb_populate_record(null::graphile_migrate.migrations, $1)`,
    [JSON.stringify(removed)]
  )
  expect((await service.request("GET", "/health/ready")).status).toBe(200)
})

test("alive and not ready without a database, and every other answer is 503 too", async () => {
  const service = await start({ settings: { databaseUrl: nowhere } })
  expect((await service.request("GET", "/health")).status).toBe(200)
  for (const path of ["/health/ready", "/api/v1/credits/pricing"]) {
    const { status, json, headers } = await service.request("GET", path)
    expect([status, json.code]).toEqual([503, "unavailable"])
    expect(Number(headers.get("retry-after"))).toBeGreaterThan(0)
    expect(json.detail).not.toContain("127.0.0.1")
  }
  // Whoever runs it is told.
  expect(service.lines.join()).toContain('"reason":"connect ECONNREFUSED 127.0.0.1:1"')
})

test("not ready on a database that takes no writes", async () => {
  const name = new URL(db.url).pathname.slice(1)
  await db.query(`alter database "${name}" set default_transaction_read_only = on`)
  const service = await start()
  expect((await service.request("GET", "/health/ready")).status).toBe(503)
  expect(service.lines.join()).toContain("read-only")
  await db.query(`begin read write; alter database "${name}" reset default_transaction_read_only; commit`)
  const later = await start()
  expect((await later.request("GET", "/health/ready")).status).toBe(200)
})
