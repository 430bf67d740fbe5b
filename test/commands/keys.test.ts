import { expect, test } from "vitest"
import { command } from "../support/command.ts"
import { database } from "../support/database.ts"
import { severalStarts, start } from "../support/program.ts"
import { sha256 } from "../support/service-keys.ts"
import { authService, startService } from "../http/support.ts"

const db = await database()

const secretPattern = /^(mana_([0-9a-z]{8})_[\w-]{43})\n$/

/** As a person runs it. */
const program = async (args: ReadonlyArray<string>) => {
  const started = start(["keys", ...args], { DATABASE_URL: db.urlAs("mana_ops") })
  return { exitCode: await started.ended, stdout: started.stdout(), stderr: started.stderr() }
}

const keys = (args: ReadonlyArray<string>, url = db.urlAs("mana_ops")) =>
  command(["keys", ...args], { DATABASE_URL: url })

const rowOf = async (prefix: string | undefined) => {
  const [row] = await db.query("select * from credits.service_keys where prefix = $1", [prefix])
  return row
}

/** The text of every row of every table. */
const everything = async () => {
  const tables = await db.query(
    `select c.oid::regclass::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p') and n.nspname !~ '^(pg_|information_schema)'`
  )
  const texts = await Promise.all(tables.map(({ name }) => db.query(`select t::text as row from ${name} t`)))
  return texts.flat().map(({ row }) => String(row))
}

test("a key's life: created, used, rotated, listed, revoked", { timeout: severalStarts }, async () => {
  const service = await startService(db, await authService())
  const created = await program([
    ...["create", "--app", "chat", "--scopes", "reserve, init", "--daily-cap", "5000"],
    ...["--expires", "2036-01-01", "--by", "Ada"]
  ])
  expect(created.exitCode).toBe(0)
  const [, secret = "", prefix = ""] = secretPattern.exec(created.stdout) ?? []
  expect(created.stderr).toBe(
    `Key ${prefix} of chat, good for reserve, init; at most 5,000 credits a day; until 2036-01-01.\n` +
      "This is the only time the secret is shown. Services send it as X-Service-Key.\n"
  )
  expect(await rowOf(prefix)).toMatchObject({
    app_id: "chat",
    hash: sha256(secret),
    created_by: "Ada",
    expires_at: new Date("2036-01-01T00:00:00Z")
  })
  const opened = await service.request("POST", "/api/v1/internal/credits/init", {
    headers: { "x-service-key": secret },
    body: { userId: "somebody" }
  })
  expect(opened.status).toBe(200)

  const rotated = await keys(["rotate", prefix, "--overlap", "2h", "--by", "Grace"])
  expect(rotated.exitCode).toBe(0)
  const [, newSecret = "", newPrefix = ""] = secretPattern.exec(rotated.stdout) ?? []
  expect(newPrefix).not.toBe(prefix)
  expect(rotated.stderr).toContain(`It follows ${prefix}, which ends 2`)
  const { created_at: made } = await rowOf(newPrefix)
  expect((await rowOf(prefix)).expires_at.getTime()).toBe(made.getTime() + 2 * 3_600_000)

  const listed = await keys(["list"])
  expect(listed).toMatchObject({ exitCode: 0, stderr: "" })
  const [head, first, second, ...more] = listed.stdout.trimEnd().split("\n")
  expect(head).toMatch(/^key +app +scopes +status +spent today +last used +expires +by$/)
  expect(first).toMatch(
    new RegExp(`^${prefix} +chat +reserve,init +active, now ${newPrefix} +0 of 5,000 +2.*Z +2.*Z +Ada$`)
  )
  expect(second).toMatch(new RegExp(`^${newPrefix} +chat +reserve,init +active +0 of 5,000 +never +20.* +Grace$`))
  expect(more).toEqual([])

  // A key that has leaked is at hand as a whole.
  const revoked = await program(["revoke", newSecret])
  expect(revoked).toEqual({
    exitCode: 0,
    stdout: `Key ${newPrefix} of chat is revoked: every process refuses it within 30 seconds.\n`,
    stderr: ""
  })
  expect((await rowOf(newPrefix)).revoked_by).not.toBe("")
  const again = await keys(["revoke", newPrefix])
  expect(again).toMatchObject({ exitCode: 1, stdout: "" })
  expect(again.stderr).toMatch(/^The service key was revoked already, by .+ on 2.*Z\.\n$/)

  const texts = await everything()
  expect(texts.some((text) => text.includes(newPrefix))).toBe(true)
  for (const each of [secret, newSecret]) {
    const random = each.slice(-43)
    expect(texts.filter((text) => text.includes(random))).toEqual([])
    expect([...service.lines, listed.stdout, created.stderr, rotated.stderr, again.stderr].join()).not.toContain(random)
  }
})

test.each([
  ["an unknown scope", ["--scopes", "use,everything"], "scopes must be one or more of read, use, reserve, refund, "],
  ["no scope", ["--scopes", ","], "scopes must be one or more of read, "],
  ["a cap of nothing", ["--scopes", "use", "--daily-cap", "0"], "--daily-cap must be a whole number of credits, "],
  ["an expiry that is over", ["--scopes", "use", "--expires", "2020-01-01"], "expiresAt must be in the future"],
  ["an expiry that is none", ["--scopes", "use", "--expires", "soon"], "--expires must be a day or an instant, "]
])("create: %s is said in a line, and nothing is written", async (_what, args, message) => {
  const before = await db.books()
  const { exitCode, stdout, stderr } = await keys(["create", "--app", "chat", ...args])
  expect([exitCode, stdout]).toEqual([1, ""])
  expect(stderr.startsWith(message), stderr).toBe(true)
  expect(stderr.split("\n")).toHaveLength(2)
  expect(await db.books()).toEqual(before)
})

test.each([
  [["rotate", "nobodys0"], "There is no service key with this prefix or id"],
  [["rotate", "nobodys0", "--overlap", "soon"], "--overlap must be minutes, hours or days, such as 30m, 24h or 7d"],
  [["revoke", "nobodys0"], "There is no service key with this prefix or id"]
])("%j says what is wrong", async (args, message) => {
  const { exitCode, stderr } = await keys(args)
  expect(exitCode).toBe(1)
  expect(stderr).toContain(message)
})

test("the service's own login makes no keys, and a database that is away is said to be", async () => {
  const refused = await keys(["list"], db.urlAs("mana_service"))
  expect(refused).toMatchObject({ exitCode: 1, stdout: "" })
  expect(refused.stderr).toContain("grant it mana_ops.")
  const away = await keys(["list"], "postgres://nobody@127.0.0.1:1/nothing")
  expect(away.stderr).toMatch(/^The database can't be reached: .+\n$/)
})

test("a mistake of ours comes with its trace", async () => {
  await db.query("alter function ops.service_keys rename to lost")
  const { exitCode, stdout, stderr } = await keys(["list"])
  await db.query("alter function ops.lost rename to service_keys")
  expect([exitCode, stdout]).toEqual([1, ""])
  expect(stderr).toMatch(/function ops.service_keys\(\) does not exist\n {4}at /)
})
