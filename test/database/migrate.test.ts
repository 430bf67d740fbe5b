import * as fs from "node:fs/promises"
import * as os from "node:os"
import * as path from "node:path"
import { Effect } from "effect"
import { afterEach, describe, expect, onTestFinished, test, vi } from "vitest"
import { readFunctions } from "../../src/database/functions.ts"
import { migrate } from "../../src/database/migrate.ts"
import { migrated } from "../../src/database/ready.ts"
import { database } from "../support/database.ts"
import { servicePool } from "../support/pool.ts"
import { functionDefinitions } from "../support/schema.ts"
import { eventually } from "../support/wait.ts"
import { addMigration, copySchema, root as projectRoot, writeFunction } from "../torture/next.ts"

// A test applies all of sql/ several times, on a machine that may be busy.
vi.setConfig({ testTimeout: 60_000 })

const db = await database()
const context = await servicePool(db, { applicationName: "migrate" })

/** A copy of what `migrate` reads, to be changed. */
const copy = async () => {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), "mana-credits-next-"))
  onTestFinished(() => fs.rm(folder, { recursive: true }))
  await copySchema(folder)
  return folder
}

/** Migrates to a folder's version, ours without one; answers with the lines it logged. */
const migrateTo = async (root: string = projectRoot, lines: Array<string> = []): Promise<ReadonlyArray<string>> => {
  await Effect.runPromise(migrate({ url: db.url, root, log: (line) => void lines.push(line) }))
  return lines
}

const failureOf = async (root: string) => {
  const { message } = await Effect.runPromise(Effect.flip(migrate({ url: db.url, root })))
  return message
}

const added = (args: string, returns = "integer") =>
  `create or replace function ops.next(${args}) returns ${returns} language sql as 'select null::${returns}';`

const withAdded = async (args: string, returns?: string) => {
  const folder = await copy()
  await writeFunction(folder, "ops/next.sql", added(args, returns))
  return folder
}

const signatures = async () => {
  const rows = await db.query(
    `select n.nspname || '.' || p.proname || '(' || pg_get_function_arguments(p.oid) || ') '
       || pg_get_function_result(p.oid) as signature
     from pg_proc p join pg_namespace n on n.oid = p.pronamespace where p.proname ~ '^next(_|$)' order by 1`
  )
  return rows.map(({ signature }) => String(signature))
}

const checksums = async () => {
  const rows = await db.query("select checksum from ops.functions_applied order by id")
  return rows.map(({ checksum }) => String(checksum))
}

/** Functions, their versions in the catalog, and what was recorded. */
const state = async () => ({
  definitions: await functionDefinitions(db.pool),
  versions: await db.query("select oid, xmin from pg_proc where oid >= 16384 order by 1"),
  checksums: await checksums()
})

describe("functions", () => {
  // Back to ours.
  afterEach(async () => void (await migrateTo()))

  test("migrating again changes nothing", async () => {
    const before = await state()
    expect(await migrateTo()).toContain("Functions: already up to date")
    expect(await state()).toEqual(before)
  })

  test("applying all of them again changes no definition", async () => {
    const { definitions } = await state()
    await db.query("delete from ops.functions_applied")
    await migrateTo()
    expect((await state()).definitions).toEqual(definitions)
  })

  test("a new argument leaves no overload of the function without it", async () => {
    await migrateTo(await withAdded("p_a integer"))
    const lines = await migrateTo(await withAdded("p_a integer, p_b integer default 0"))
    expect(lines.at(-1)).toMatch(/^Functions: \d+ applied, dropped ops\.next\(p_a integer\)$/)
    expect(await signatures()).toEqual(["ops.next(p_a integer, p_b integer DEFAULT 0) integer"])
  })

  test.each([
    ["return type", "p_a integer", "bigint"],
    ["name of an argument", "p_b integer", "integer"]
  ])("a new %s remakes the function", async (_, args, returns) => {
    await migrateTo(await withAdded("p_a integer"))
    await migrateTo(await withAdded(args, returns))
    expect(await signatures()).toEqual([`ops.next(${args}) ${returns}`])
  })

  const iso8601 = (args: string) =>
    `create or replace function credits.iso8601(${args}) returns text language sql immutable
     as $$ select to_char($1 at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') $$;`

  test.each([
    ["another name of an argument", "p_at timestamptz"],
    ["an argument more", "p_time timestamptz, p_digits integer default 3"]
  ])("a function that others of ours are made of gets %s", async (_, args) => {
    const folder = await copy()
    await writeFunction(folder, "credits/iso8601.sql", iso8601(args))
    await migrateTo(folder)
    const rows = await db.query(
      `select pg_get_function_arguments(oid) as args from pg_proc where oid = 'credits.iso8601'::regproc`
    )
    expect(rows).toEqual([
      { args: args.replace("timestamptz", "timestamp with time zone").replace("default", "DEFAULT") }
    ])
  })

  test("two functions that go together are dropped, though one is made of the other", async () => {
    const folder = await withAdded("p_a integer")
    await writeFunction(
      folder,
      "ops/next_of_next.sql",
      "create or replace function ops.next_of_next() returns integer language sql return ops.next(1);"
    )
    await migrateTo(folder)
    await migrateTo()
    expect(await signatures()).toEqual([])
  })

  test("a function becomes a procedure", async () => {
    await migrateTo(await withAdded("p_a integer"))
    const folder = await copy()
    await writeFunction(
      folder,
      "ops/next.sql",
      "create or replace procedure ops.next(p_a integer) language sql as 'select 1';"
    )
    await migrateTo(folder)
    expect(await db.query("select prokind from pg_proc where oid = 'ops.next'::regproc")).toEqual([{ prokind: "p" }])
  })

  test("a call that isn't granted any more is revoked", async () => {
    const mayAdjust = async () =>
      (await db.query("select has_function_privilege('mana_ops', 'ops.adjust'::regproc, 'execute') as may"))[0]?.may
    const folder = await copy()
    const grants = path.join(folder, "sql/grants.sql")
    const text = await fs.readFile(grants, "utf8")
    await fs.writeFile(grants, text.replace("  ops.adjust,\n", ""))
    expect(await mayAdjust()).toBe(true)
    await migrateTo(folder)
    expect(await mayAdjust()).toBe(false)
  })

  test.each(["--!include  ops/next.sql", "--!include ops/next.sql -- next", "--!include others/next.sql"])(
    "all.sql with the line %j is refused",
    async (line) => {
      const folder = await withAdded("p_a integer")
      await migrateTo(folder)
      const list = path.join(folder, "sql/all.sql")
      const text = await fs.readFile(list, "utf8")
      await fs.writeFile(list, text.replace("--!include ops/next.sql", line))
      const before = await state()
      expect(await failureOf(folder)).toMatch(`sql/all.sql: ${JSON.stringify(line)} must be --!include `)
      expect(await state()).toEqual(before)
    }
  )

  test("a function that isn't listed any more is dropped; one of another schema or of an extension isn't", async () => {
    await migrateTo(await withAdded("p_a integer"))
    await db.query("create schema others")
    await db.query("create function others.next() returns integer language sql as 'select 1'")
    await db.query("create function ops.next_of_extension() returns integer language sql as 'select 1'")
    await db.query("alter extension plpgsql add function ops.next_of_extension()")
    expect((await migrateTo()).at(-1)).toContain("dropped ops.next(p_a integer)")
    expect(await signatures()).toEqual(["ops.next_of_extension() integer", "others.next() integer"])
    expect(await db.query("select to_regproc('credits.refuse_ledger_change')::text as trigger")).toEqual([
      { trigger: "credits.refuse_ledger_change" }
    ])
    await db.query("alter extension plpgsql drop function ops.next_of_extension()")
    await db.query("drop function ops.next_of_extension()")
    await db.query("drop schema others cascade")
  })

  test("what something depends on isn't dropped: the message says what", async () => {
    await migrateTo(await withAdded("p_a integer"))
    await db.query("create view public.depends as select ops.next(1)")
    const before = await state()
    expect(await failureOf(projectRoot)).toBe(
      "ops.next(p_a integer) can't be dropped: " +
        "cannot drop function ops.next(integer) because other objects depend on it\n" +
        "view public.depends depends on function ops.next(integer)\n" +
        "All functions can't be dropped: " +
        "cannot drop desired object(s) because other objects depend on them\n" +
        "view public.depends depends on function ops.next(integer)"
    )
    expect(await state()).toEqual(before)
    await db.query("drop view public.depends")
  })

  test("a file that PostgreSQL refuses is named with its line, and everything stays as it was", async () => {
    const folder = await withAdded("p_a integer")
    const use = await fs.readFile(path.join(folder, "sql/credits/use.sql"), "utf8")
    await writeFunction(folder, "credits/use.sql", use.replace("\nlanguage plpgsql", "\nlanguages plpgsql"))
    const before = await state()
    const line = use.slice(0, use.indexOf("language plpgsql")).split("\n").length
    expect(await failureOf(folder)).toBe(`sql/credits/use.sql:${line}: syntax error at or near "languages"`)
    expect(await state()).toEqual(before)
  })

  test("two migrate at once: one applies, the other finds it done", async () => {
    const folder = await withAdded("p_a integer")
    const lines = await Promise.all([migrateTo(folder), migrateTo(folder)])
    expect(lines.map((all) => all.at(-1)).toSorted()).toEqual([
      expect.stringMatching(/^Functions: \d+ applied$/),
      "Functions: already up to date"
    ])
    expect(await signatures()).toEqual(["ops.next(p_a integer) integer"])
  })

  test("a function that somebody else is replacing is waited for", async () => {
    const folder = await withAdded("p_a integer")
    await migrateTo(folder)
    const other = await db.pool.connect()
    await other.query("begin")
    await other.query(added("p_a integer"))
    const lines: Array<string> = []
    const migrating = migrateTo(await withAdded("p_a integer, p_b integer default 0"), lines)
    await eventually(
      async () => lines,
      (all) => all.some((line) => line.includes("Held up by a lock"))
    )
    await other.query("rollback")
    other.release()
    await migrating
    expect(await signatures()).toEqual(["ops.next(p_a integer, p_b integer DEFAULT 0) integer"])
  })

  test("a database from before the baseline is said to be one", async () => {
    await db.query("alter table ops.functions_applied rename to renamed")
    expect(await failureOf(projectRoot)).toMatch(/^The database was made by migrations older than the baseline/)
    await db.query("alter table ops.renamed rename to functions_applied")
  })

  const readiness = () =>
    Effect.runPromise(
      Effect.provide(
        Effect.match(migrated, { onFailure: ({ message }) => message, onSuccess: () => "migrated" }),
        context
      )
    )

  test("a process accepts later functions than its own, and refuses older or missing ones", async () => {
    const { checksum } = await readFunctions()
    expect(await readiness()).toBe("migrated")
    await migrateTo(await withAdded("p_a integer"))
    expect((await checksums()).at(-1)).not.toBe(checksum)
    expect(await readiness()).toBe("migrated")

    await db.query("delete from ops.functions_applied where checksum = $1", [checksum])
    expect(await readiness()).toBe(
      "The database isn't migrated (this version's functions missing): run `node src/main.ts migrate`, as a role that may."
    )
    await db.query("drop function ops.functions_applied")
    expect(await readiness()).toMatch(
      /^The database isn't migrated \(.*ops\.functions_applied\(\) does not exist\): run `node src\/main.ts migrate`/
    )
    await migrateTo()
    expect(await readiness()).toBe("migrated")
  })
})

/** Sessions that want a table for themselves and don't have it. */
const heldUp = () =>
  db.query(
    `select pid from pg_locks
     where not granted and mode = 'AccessExclusiveLock' and relation = 'credits.balances'::regclass`
  )

test("a migration that wants a table in use lets debits pass, and comes back until it is free", async () => {
  const folder = await withAdded("p_a integer")
  const name = await addMigration(folder, "alter table credits.balances add column note text;")
  const userId = await db.userWith(100)

  // A report that takes its time, or a backup.
  const reader = await db.pool.connect()
  await reader.query("begin")
  await reader.query("select count(*) from credits.balances")
  const lines: Array<string> = []
  const migrating = migrateTo(folder, lines)
  await eventually(heldUp, (sessions) => sessions.length === 1)
  // Waits behind the migration, and not for the report.
  await db.call("credits.use", { userId, amount: 1, appId: "chat", description: "One answer" })
  await eventually(
    async () => lines,
    (all) => all.some((line) => line.includes("Held up by a lock"))
  )
  const applied = async () => {
    const rows = await db.query("select name from ops.migrations()")
    return rows.filter((row) => String(row.name).startsWith(name.slice(0, 6)))
  }
  expect(await applied()).toEqual([])

  await reader.query("commit")
  reader.release()
  await migrating
  expect(await applied()).toHaveLength(1)
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 99, note: null })

  // The version before, migrated again: it has no functions for the later tables.
  const before = await state()
  expect((await migrateTo()).at(-1)).toMatch(/^Functions: left as they are/)
  expect(await state()).toEqual(before)
})
