/** A database of a test file's own: a clone of the run's migrated template, dropped at the end. */
import { randomUUID } from "node:crypto"
import pg from "pg"
import { afterAll, afterEach, expect, inject } from "vitest"
import { noteCovered } from "../mutation/covered.ts"
import { login, type Role } from "./names.ts"
import { eventually } from "./wait.ts"

export type Arguments = Readonly<Record<string, unknown>>

/** What a SQL function raised. */
export interface Refusal {
  readonly sqlstate: string
  readonly message: string
  /** DETAIL, which is JSON in every error of ours. */
  readonly detail: unknown
}

const withPath = (url: string, database: string) => {
  const changed = new URL(url)
  changed.pathname = database
  return changed
}

// bigint as a number: no amount of ours is beyond 2^53. Only in the pools made here.
const types = {
  getTypeParser: (oid: number, format?: "text" | "binary") =>
    oid === pg.types.builtins.INT8 ? Number : pg.types.getTypeParser(oid, format)
}

const parameter = (name: string) => `p_${name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`

const encoded = (value: unknown) =>
  typeof value === "object" && value !== null && !(value instanceof Date) ? JSON.stringify(value) : value

/** `credits.use(p_user_id => $1, …)`; what is undefined is left out, so that the default holds. */
const invocation = (name: string, args: Arguments) => {
  const given = Object.entries(args).filter(([, value]) => value !== undefined)
  const list = given.map(([key], index) => `${parameter(key)} => $${index + 1}`).join(", ")
  return { text: `${name}(${list})`, values: given.map(([, value]) => encoded(value)) }
}

/** The call of a function that answers with one value. */
export const statement = (name: string, args: Arguments) => {
  const { text, values } = invocation(name, args)
  return { text: `select ${text} as answer`, values }
}

/** An error of Postgres as a refusal; anything else is thrown on. */
export const refusalOf = (error: unknown): Refusal => {
  if (!(error instanceof pg.DatabaseError)) throw error
  const { code = "", message, detail } = error
  const isOurs = code.startsWith("CR")
  return { sqlstate: code, message, detail: isOurs && detail !== undefined ? JSON.parse(detail) : detail }
}

/** Not `pool.query`, which throws a connection away when its statement is refused. */
const run = async (pool: pg.Pool, config: pg.QueryConfig) => {
  const client = await pool.connect()
  try {
    const { rows } = await client.query(config)
    return rows
  } finally {
    client.release()
  }
}

const sessionsLeft = async (admin: pg.Client, name: string): Promise<ReadonlyArray<string>> => {
  const { rows } = await admin.query<{ readonly left: string }>(
    `select format('%s %s: %s', pid, application_name, left(query, 200)) as left
     from pg_stat_activity where datname = $1 and backend_type = 'client backend'`,
    [name]
  )
  return rows.map((row) => row.left)
}

/** Every row of every table of ours, as one hash a table: equal before and after means that nothing was written. */
const booksQuery = `
  select string_agg(
    format('select %L as "table", count(*) as rows, md5(string_agg(t::text, '','' order by t::text)) as hash from %I.%I t',
      n.nspname || '.' || c.relname, n.nspname, c.relname),
    ' union all ' order by n.nspname, c.relname
  ) || ' order by 1' as query
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p') and n.nspname in ('credits', 'gifts', 'sync', 'stripe', 'ops')`

const open = async () => {
  const serverUrl = inject("serverUrl")
  const name = `test_${randomUUID().replaceAll("-", "")}`
  const admin = new pg.Client({ connectionString: serverUrl })
  await admin.connect()
  const template = inject("template")
  await admin.query(`create database ${name} template ${template}`)
  // Who may do what with a database isn't cloned with it.
  await admin.query(
    "update pg_database d set datacl = t.datacl from pg_database t where d.datname = $1 and t.datname = $2",
    [name, template]
  )

  const url = withPath(serverUrl, name).href
  const urlAs = (role: Role) => {
    const changed = withPath(serverUrl, name)
    changed.username = login(role)
    changed.password = login(role)
    return changed.href
  }

  const pools: Array<pg.Pool> = []
  const makePool = (connectionString: string) => {
    // These sessions don't wait for the disk: no test of theirs survives a crash. A service under test has its own.
    const pool = new pg.Pool({ connectionString, max: 50, types, options: "-c synchronous_commit=off" })
    pools.push(pool)
    return pool
  }
  const pool = makePool(url)
  const byRole = new Map<Role, pg.Pool>()
  const poolAs = (role: Role) => {
    const made = byRole.get(role) ?? makePool(urlAs(role))
    byRole.set(role, made)
    return made
  }

  /** Rows of any statement, as a superuser. */
  const query = (text: string, values: ReadonlyArray<unknown> = []) => run(pool, { text, values: [...values] })

  /** One function call, as the service makes it. */
  const call = async (functionName: string, args: Arguments, role: Role = "mana_service") => {
    const [row] = await run(poolAs(role), statement(functionName, args))
    return row.answer
  }

  /** The rows that a function of ops answers with. */
  const rows = (functionName: string, args: Arguments, role: Role) => {
    const { text, values } = invocation(functionName, args)
    return run(poolAs(role), { text: `select * from ${text}`, values })
  }

  let booksOfTables: string | undefined
  const books = async () => {
    booksOfTables ??= String((await query(booksQuery))[0].query)
    return query(booksOfTables)
  }

  /** What the call raised. It must raise, and nothing may have moved: not a balance, not a version, no row at all. */
  const refused = async (functionName: string, args: Arguments, role: Role = "mana_service"): Promise<Refusal> => {
    const before = await books()
    const outcome = await call(functionName, args, role).then(
      (answer): unknown => ({ answered: answer }),
      (error: unknown) => error
    )
    expect(await books(), `${functionName} was refused and still wrote`).toEqual(before)
    if (outcome instanceof Error) return refusalOf(outcome)
    throw new Error(`${functionName} should have been refused, but ${JSON.stringify(outcome)}`)
  }

  /** The books are true. */
  const verify = async () => {
    expect(await query("select * from ops.verify()"), "ops.verify()").toEqual([])
  }

  /** The row of credits.balances, version included, or undefined. */
  const balanceRow = async (userId: string) => {
    const [row] = await query("select * from credits.balances where user_id = $1", [userId])
    return row
  }

  /** A user nobody else in this file has, owning that many credits. */
  const userWith = async (amount: number) => {
    const userId = `user-${randomUUID()}`
    if (amount > 0) await call("credits.grant", { userId, amount, reason: "test", referenceId: "first" })
    return userId
  }

  const close = async () => {
    await Promise.all(pools.map((each) => each.end()))
    // A session ends a moment after its socket; one that stays was left open by a test.
    const left = await eventually(
      () => sessionsLeft(admin, name),
      (sessions) => sessions.length === 0
    ).catch(() => sessionsLeft(admin, name))
    // What a session did is counted when it ends.
    await noteCovered(url)
    await admin.query(`drop database ${name} with (force)`)
    await admin.end()
    expect(left, "connections left open by this file").toEqual([])
  }

  return { url, urlAs, pool, poolAs, query, call, rows, refused, books, verify, balanceRow, userWith, close }
}

export type TestDatabase = Awaited<ReturnType<typeof open>>

export interface DatabaseOptions {
  /** Whether the books are verified after each test; off only where a test damages them on purpose. */
  readonly verify?: boolean
}

/** `const db = await database()` at the top of a test file. */
export const database = async (options: DatabaseOptions = {}): Promise<TestDatabase> => {
  const opened = await open()
  if (options.verify !== false) afterEach(opened.verify)
  afterAll(opened.close)
  return opened
}
