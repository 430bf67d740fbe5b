import type pg from "pg"
import { beforeAll, expect, test } from "vitest"
import { database, refusalOf } from "../support/database.ts"
import type { Role } from "../support/names.ts"
import { ours } from "../support/schema.ts"

/**
 * Who may do what, tried for real by logins that are members of one role and of nothing else. What there is to try
 * comes from the catalog: a new table or function is covered the day it is made.
 */
const db = await database()

const denied = "42501"

interface Relation {
  readonly name: string
  readonly schema: string
  readonly kind: string
  /** A column that an UPDATE may name. */
  readonly column: string
}

interface Routine {
  readonly name: string
  /** A call of it with nulls all through. */
  readonly invocation: string
  readonly comment: string | null
  readonly schema: string
}

const relations: Array<Relation> = []
const routines: Array<Routine> = []

beforeAll(async () => {
  relations.push(
    ...(await db.query(`
      select
        format('%I.%I', n.nspname, c.relname) as name, n.nspname as schema, c.relkind as kind,
        (select quote_ident(a.attname) from pg_attribute a
         where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
           and a.attidentity = '' and a.attgenerated = ''
         order by a.attnum limit 1) as column
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and n.nspname !~ '^(pg_|information_schema)'
      order by 1`))
  )
  routines.push(
    ...(await db.query(`
      select
        p.oid::regprocedure::text as name, n.nspname as schema, obj_description(p.oid, 'pg_proc') as comment,
        format('%I.%I(%s)', n.nspname, p.proname,
          (select string_agg(format('null::%s', format_type(t.oid, null)), ', ' order by t.n)
           from unnest(p.proargtypes) with ordinality t (oid, n))) as invocation
      from pg_proc p join pg_namespace n on n.oid = p.pronamespace
      where n.nspname !~ '^(pg_|information_schema)'
      order by 1`))
  )
})

/** The SQLSTATE a statement ends with, or "done"; it leaves no trace. */
const attempt = async (client: pg.PoolClient, text: string) => {
  await client.query("begin")
  try {
    await client.query(text)
    return "done"
  } catch (error) {
    return refusalOf(error).sqlstate
  } finally {
    await client.query("rollback")
  }
}

const writing = ({ name, kind, column }: Relation) =>
  kind === "S"
    ? [`select nextval('${name}')`, `select setval('${name}', 1)`]
    : [
        `insert into ${name} default values`,
        `update ${name} set ${column} = ${column}`,
        `delete from ${name}`,
        `truncate ${name}`,
        `merge into ${name} t using (select 1) s on false when not matched then insert default values`,
        `copy ${name} from stdin`,
        `lock table ${name} in access exclusive mode`,
        `alter table ${name} disable trigger all`,
        `drop table ${name}`
      ]

const reading = ({ name, kind }: Relation) =>
  kind === "S" ? [`select last_value from ${name}`] : [`select from ${name} limit 0`, `select from ${name} for update`]

const as = async <A>(role: Role, f: (client: pg.PoolClient) => Promise<A>) => {
  const client = await db.poolAs(role).connect()
  try {
    return await f(client)
  } finally {
    client.release()
  }
}

const outcomes = (role: Role, statements: ReadonlyArray<string>) =>
  as(role, async (client) => {
    const found: Record<string, string> = {}
    for (const text of statements) found[text] = await attempt(client, text)
    return found
  })

const all = (statements: ReadonlyArray<string>, outcome: string) =>
  Object.fromEntries(statements.map((text) => [text, outcome]))

test("there are tables and functions to try", () => {
  expect(relations.filter(({ schema }) => schema === "credits").length).toBeGreaterThan(5)
  expect(routines.filter(({ schema }) => schema === "credits").length).toBeGreaterThan(30)
})

test("the service reads and writes no table of any schema, whatever the verb (42501)", async () => {
  const statements = relations.flatMap((relation) => [...writing(relation), ...reading(relation)])
  expect(await outcomes("mana_service", statements)).toEqual(all(statements, denied))
})

test("the worker touches no table but its queue's (42501)", async () => {
  const statements = relations
    .filter(({ schema }) => schema !== "graphile_worker")
    .flatMap((relation) => [...writing(relation), ...reading(relation)])
  expect(await outcomes("mana_worker", statements)).toEqual(all(statements, denied))
})

test.each(["mana_ops", "mana_readonly"] as const)("%s writes no table (42501)", async (role) => {
  const statements = relations.flatMap(writing)
  expect(await outcomes(role, statements)).toEqual(all(statements, denied))
})

test.each(["mana_ops", "mana_readonly"] as const)(
  "%s reads every column of every table but a gift's code and a service key's hash",
  async (role) => {
    const columns = await db.query(
      `select format('select %I from %s', a.attname, c.oid::regclass) as statement
     from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p') and ${ours} and a.attnum > 0 and not a.attisdropped`
    )
    const statements = columns.map(({ statement }) => statement)
    // As good as money: who reads one can redeem it.
    expect(await outcomes(role, statements)).toEqual({
      ...all(statements, "done"),
      "select code from gifts.gift_codes": denied,
      "select hash from credits.service_keys": denied
    })
  }
)

test("no column has a privilege of its own but mana_readonly's to read it", async () => {
  const granted = `select c.oid::regclass, a.attname, g.privilege_type
    from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace,
      aclexplode(a.attacl) g
    where n.nspname !~ '^(pg_|information_schema)'
      and (g.grantee, g.privilege_type) is distinct from ('mana_readonly'::regrole::oid, 'SELECT')`
  expect(await db.query(granted)).toEqual([])
})

/** The roles that a function's comment names as its callers: "For mana_service, mana_ops and mana_readonly." */
const named = (comment: string | null) => {
  const [, list = ""] = /\bFor ((?:mana_\w+(?:, | and )?)+)\.$/.exec(comment ?? "") ?? []
  return list.split(/, | and /).filter((name) => name !== "")
}

test.each(["mana_service", "mana_worker", "mana_ops", "mana_readonly"] as const)(
  "%s calls the functions whose comment says so, and no other (42501)",
  async (role) => {
    // The worker may what the service may; mana_ops may what mana_readonly may.
    const roles = { mana_worker: ["mana_service"], mana_ops: ["mana_readonly"], mana_service: [], mana_readonly: [] }
    const candidates = routines.filter(({ schema }) => !schema.startsWith("graphile_"))
    const actual = await as(role, async (client) => {
      const callable: Array<string> = []
      for (const { invocation, name } of candidates) {
        // Anything but a denial is the function's own doing: a null it refuses, a trigger without its table.
        if ((await attempt(client, `select ${invocation}`)) !== denied) callable.push(name)
      }
      return callable
    })
    const expected = candidates.filter(({ comment }) =>
      named(comment).some((caller) => [role, ...roles[role]].includes(caller))
    )
    expect(actual).toEqual(expected.map(({ name }) => name))
  }
)

test("the service can't become anybody else, or make anything (42501)", async () => {
  const statements = [
    "set role mana_owner",
    "set role mana_ops",
    "set role postgres",
    "set session_replication_role = replica",
    "create table credits.mine (a int)",
    "create table public.mine (a int)",
    "create schema mine",
    "create function ops.mine() returns int language sql return 1",
    "alter function credits.use_many(jsonb, text, boolean, timestamptz) owner to login_service",
    "create role mine"
  ]
  expect(await outcomes("mana_service", statements)).toEqual(all(statements, denied))
})

test("the break-glass of the ledger doesn't open for the service (42501)", async () => {
  await as("mana_service", async (client) => {
    await client.query("set mana.break_glass = 'let me in'")
    expect(await attempt(client, "delete from credits.transactions")).toBe(denied)
    await client.query("reset mana.break_glass")
  })
})
