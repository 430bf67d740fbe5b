import { randomUUID } from "node:crypto"
import * as net from "node:net"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { database } from "../support/database.ts"
import { freePort, severalStarts, start } from "../support/program.ts"
import { eventually } from "../support/wait.ts"

const db = await database()

// As in production: a login that may act for the service and the worker, and owns nothing.
const login = `credits_app_${randomUUID().replaceAll("-", "")}`
beforeAll(() => db.query(`create role ${login} login password 'app' in role mana_service, mana_worker`))
afterAll(() => db.query(`drop role ${login}`))
const appUrl = () => {
  const url = new URL(db.url)
  url.username = login
  url.password = "app"
  return url.href
}

const key = "a-service-key"
const environment = async () => {
  const port = await freePort()
  return {
    DATABASE_URL: appUrl(),
    MANA_AUTH_URL: "http://127.0.0.1:1",
    MANA_SERVICE_KEY: key,
    HOST: "127.0.0.1",
    PORT: String(port)
  }
}

const serving = async (more: Readonly<Record<string, string>> = {}) => {
  const env = { ...(await environment()), ...more }
  const program = start(["serve"], env)
  await program.says('"listening"')
  return { ...program, port: Number(env.PORT), origin: `http://127.0.0.1:${env.PORT}` }
}

const use = (origin: string, body: object) =>
  fetch(`${origin}/api/v1/internal/credits/use`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-service-key": key, "x-app-id": "chat" },
    body: JSON.stringify(body)
  })

const accepts = (port: number) =>
  new Promise<boolean>((resolve) => {
    const socket = net.connect(port, "127.0.0.1", () => {
      socket.destroy()
      resolve(true)
    })
    socket.once("error", () => resolve(false))
  })

const waitingFor = (application: string) =>
  eventually(
    () =>
      db.query(
        `select pid from pg_stat_activity
         where datname = current_database() and application_name = $1 and wait_event_type = 'Lock'`,
        [application]
      ),
    (rows) => rows.length > 0
  )

describe("serve", () => {
  test("has none of the development doors, and ends with its answers given", { timeout: severalStarts }, async () => {
    const service = await serving()
    for (const [method, path] of [
      ["GET", "/api/auth/jwks"],
      ["POST", "/dev/token"]
    ] as const) {
      expect((await fetch(`${service.origin}${path}`, { method })).status).toBe(404)
    }

    const ready = await eventually(
      () => fetch(`${service.origin}/health/ready`),
      ({ status }) => status === 200
    )
    expect(await ready.json()).toMatchObject({ worker: "running" })

    // A debit that waits for somebody's lock when the service is told to stop.
    const userId = await db.userWith(10)
    const client = await db.pool.connect()
    await client.query("begin")
    await client.query("select from credits.balances where user_id = $1 for update", [userId])
    const answer = use(service.origin, { userId, amount: 3, appId: "chat", description: "test" })
    await waitingFor("mana-credits")
    service.signal("SIGTERM")
    await eventually(
      () => accepts(service.port),
      (open) => !open
    )
    await client.query("rollback")
    client.release()
    const response = await answer
    expect(response.status).toBe(200)
    expect(response.headers.get("connection")).toBe("close")
    expect(await service.ended).toBe(0)
    expect(service.stderr()).toBe("")
    for (const line of service.stdout().trimEnd().split("\n")) {
      expect(JSON.parse(line)).toMatchObject({ logLevel: "INFO", timestamp: expect.any(String) })
    }
    expect(service.stdout()).not.toContain(key)
  })

  test("ends in time though a request doesn't, and leaves its debit whole", { timeout: severalStarts }, async () => {
    const service = await serving({ RUN_WORKER: "false" })
    const userId = await db.userWith(10)
    const client = await db.pool.connect()
    await client.query("begin")
    await client.query("select from credits.balances where user_id = $1 for update", [userId])
    const answer = use(service.origin, { userId, amount: 3, appId: "chat", description: "test" }).catch(() => "cut off")
    await waitingFor("mana-credits")
    const told = Date.now()
    service.signal("SIGTERM")
    expect(await service.ended).toBe(0)
    expect(Date.now() - told).toBeLessThan(10_000)
    expect(await answer).toBe("cut off")
    await client.query("rollback")
    client.release()
  })

  test("names all settings that are wrong in one message", async () => {
    const { DATABASE_URL: _, ...env } = await environment()
    const program = start(["serve"], { ...env, PORT: "x" })
    expect(await program.ended).toBe(1)
    expect(program.stdout()).toBe("")
    expect(program.stderr()).toMatch(/DATABASE_URL is missing\n.*PORT must be/)
  })

  test("doesn't start on functions older than its own", async () => {
    const [applied] = await db.query("delete from ops.functions_applied returning checksum")
    const program = start(["serve"], await environment())
    expect(await program.ended).toBe(1)
    await db.query("insert into ops.functions_applied (checksum) values ($1)", [applied.checksum])
    expect(program.stderr()).toBe(
      "The database isn't migrated (this version's functions missing): run `node src/main.ts migrate`, as a role that may.\n"
    )
  })

  test("doesn't start on a server that can lose what it confirmed", async () => {
    await db.query(`alter role ${login} set synchronous_commit = off`)
    const program = start(["serve"], await environment())
    expect(await program.ended).toBe(1)
    await db.query(`alter role ${login} reset synchronous_commit`)
    expect(program.stderr()).toBe("This server can lose what it has confirmed: turn on synchronous_commit.\n")
  })
})

describe("migrate and verify", () => {
  const empty = `empty_${randomUUID().replaceAll("-", "")}`
  const emptyUrl = () => {
    const url = new URL(db.url)
    url.pathname = empty
    return url.href
  }
  beforeAll(() => db.query(`create database ${empty}`))
  afterAll(() => db.query(`drop database ${empty} with (force)`))

  test(
    "a database that nobody migrated is said to be one, and can be migrated",
    { timeout: severalStarts },
    async () => {
      const before = start(["verify"], { DATABASE_URL: emptyUrl() })
      expect(await before.ended).toBe(2)
      expect(before.stderr()).toMatch(/^The database isn't migrated \(.*\): run `node src\/main.ts migrate`.*\n$/)

      const migrate = start(["migrate"], { DATABASE_URL: emptyUrl() })
      expect(await migrate.ended).toBe(0)
      expect(migrate.stderr()).toBe("")

      const after = start(["verify"], { DATABASE_URL: emptyUrl() })
      expect(await after.ended).toBe(0)
      expect(after.stdout()).toBe("The books are true.\n")
    }
  )

  test("verify prints what isn't true", async () => {
    const userId = await db.userWith(10)
    const change = (by: number) =>
      db.query(
        "update credits.balances set balance = balance + $2, total_earned = total_earned + $2 where user_id = $1",
        [userId, by]
      )
    await change(1)
    const program = start(["verify"], { DATABASE_URL: appUrl() })
    expect(await program.ended).toBe(1)
    await change(-1)
    expect(program.stderr()).toContain(`(user ${userId})`)
    expect(program.stderr()).toMatch(/The books are wrong in \d+ places?\.\n$/)
  })

  test("verify that is stopped before it is through doesn't say that the books are true", async () => {
    const client = await db.pool.connect()
    await client.query("begin")
    await client.query("lock table credits.balances in access exclusive mode")
    const program = start(["verify"], { DATABASE_URL: appUrl() })
    await waitingFor("mana-credits verify")
    program.signal("SIGTERM")
    await client.query("rollback")
    client.release()
    expect(await program.ended).toBe(2)
    expect(program.stdout()).toBe("")
  })
})

describe("seal and verify --seal", () => {
  test("a digest that seal printed tells later whether history was rewritten", { timeout: severalStarts }, async () => {
    const userId = await db.userWith(10)
    const sealing = start(["seal"], { DATABASE_URL: appUrl() })
    expect(await sealing.ended).toBe(0)
    const digest = sealing.stdout().trim()
    expect(digest).toMatch(/^[0-9a-f]{64}$/)
    expect(sealing.stderr()).toMatch(/^Seal 1 of .*Z: \d+ ledger rows of \d+ users\.\n$/)

    const unchanged = start(["verify", "--seal", digest], { DATABASE_URL: appUrl() })
    expect(await unchanged.ended).toBe(0)
    expect(unchanged.stdout()).toBe(`History before seal ${digest} is as it was.\nThe books are true.\n`)

    const unknown = "0".repeat(64)
    const rewrite = (description: string) =>
      db.query(
        `with glass as materialized (select set_config('mana.break_glass', 'a test', true))
         update credits.transactions set description = $2 from glass where user_id = $1`,
        [userId, description]
      )
    await rewrite("something else")
    const changed = start(["verify", "--seal", digest, "--seal", unknown], { DATABASE_URL: appUrl() })
    expect(await changed.ended).toBe(1)
    await rewrite("test")
    expect(changed.stderr()).toContain(`seal_row (user ${userId})`)
    expect(changed.stderr()).toContain(`History before seal ${digest} was rewritten`)
    expect(changed.stderr()).toContain("seal_unknown: ")
  })

  test("what isn't a digest is refused before anything is asked", async () => {
    const program = start(["verify", "--seal", "abc"], {})
    expect(await program.ended).toBe(2)
    expect(program.stderr()).toBe("A seal's digest is 64 hexadecimal digits.\n")
  })
})

test("goes on when nobody reads its log any more", { timeout: severalStarts }, async () => {
  const program = await serving()
  program.stopReading()
  // Lines leave in bunches of 20 ms: some of them fail to be written meanwhile.
  for (const until = Date.now() + 200; Date.now() < until;) {
    expect((await use(program.origin, {})).status).toBe(400)
  }
  expect((await fetch(`${program.origin}/health`)).status).toBe(200)
  program.signal("SIGTERM")
  expect(await program.ended).toBe(0)
})

test.each([
  [["help"], 0],
  [["server"], 1],
  [["verify", "--sael"], 2]
] as const)("%j ends with its exit code", async (args, exitCode) => {
  const program = start(args, {})
  expect(await program.ended).toBe(exitCode)
  // Standard output only has what was asked for.
  expect(exitCode === 0 ? program.stderr() : program.stdout()).toBe("")
  expect(program.stdout() + program.stderr()).toContain("USAGE\n  mana-credits ")
})
