import { randomUUID } from "node:crypto"
import pg from "pg"
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

/** Ways out of the functions that a login may call: to other roles, to the server's files, to objects of its own. */
const escapes = {
  roles: [
    "set role mana_owner",
    "set role postgres",
    "set session authorization postgres",
    "create role mine",
    "create role mine superuser",
    "alter role current_user superuser",
    "alter role mana_owner login",
    "alter role mana_owner password 'mine'",
    "alter role all set search_path = mine",
    "grant mana_owner to current_user",
    "grant pg_read_all_data to current_user",
    "grant pg_execute_server_program to current_user",
    "grant execute on function ops.post_by_hand to public",
    "drop role mana_owner",
    "reassign owned by mana_owner to current_user"
  ],
  settings: [
    "set session_replication_role = replica",
    "set local session_replication_role = replica",
    "select set_config('session_replication_role', 'replica', true)",
    "set log_statement = 'all'",
    "set zero_damaged_pages = on",
    "set allow_system_table_mods = on",
    "set session_preload_libraries = 'mine'",
    "set dynamic_library_path = '/tmp'",
    "load '/tmp/mine.so'",
    "select pg_reload_conf()",
    "select pg_rotate_logfile()",
    "select pg_switch_wal()",
    "select pg_promote()",
    "select pg_create_restore_point('mine')"
  ],
  files: [
    "copy (select 1) to program 'true'",
    "copy (select 1) to '/tmp/mine'",
    "do $$ begin copy (select 1) to program 'true'; end $$",
    "do $$ begin execute $e$copy (select 1) to program 'true'$e$; end $$",
    "select pg_read_file('/etc/passwd')",
    "select pg_read_binary_file('/etc/passwd')",
    "select pg_ls_dir('/')",
    "select pg_ls_logdir()",
    "select pg_ls_waldir()",
    "select pg_stat_file('/etc/passwd')",
    "select pg_current_logfile()",
    "select lo_import('/etc/passwd')",
    "select lo_export(1, '/tmp/mine')",
    "select lo_create(0)",
    "select lo_creat(-1)",
    "select lo_from_bytea(0, 'mine')",
    "select lo_put(1, 0, 'mine')",
    "select lo_get(1)",
    "select lo_unlink(1)",
    "select lowrite(0, 'mine')"
  ],
  objects: [
    "create temporary table mine (a int)",
    "select 1 as a into temporary mine",
    "create temporary view balances as select 1",
    "create temporary sequence mine",
    "create table pg_temp.balances (a int)",
    "create function pg_temp.now() returns timestamptz language sql return '-infinity'::timestamptz",
    "create type pg_temp.mine as (a int)",
    "create table credits.mine (a int)",
    "create table public.mine (a int)",
    "create table pg_catalog.mine (a int)",
    "create view credits.mine as select 1",
    "create materialized view gifts.mine as select 1",
    "create sequence credits.mine",
    "create type credits.mine as (a int)",
    "create domain public.mine as int",
    "create schema mine",
    "create schema credits_2 authorization current_user",
    "create function ops.mine() returns int language sql return 1",
    "create function public.lower(text) returns text language sql return $1",
    "create aggregate public.mine (int) (sfunc = int4pl, stype = int)",
    "create event trigger mine on ddl_command_start execute function credits.refuse_ledger_change()",
    "create foreign data wrapper mine",
    "create publication mine for all tables",
    "create trigger mine after insert on credits.balances for each row execute function credits.refuse_ledger_change()",
    "create rule mine as on insert to credits.balances do instead nothing",
    "create policy mine on credits.balances",
    "create index mine on credits.balances (held)",
    "do $$ begin create table public.mine (a int); end $$",
    "do $$ begin delete from credits.transactions; end $$",
    "do $$ begin execute 'set local role mana_owner'; end $$"
  ],
  changes: [
    "alter function credits.use_many owner to current_user",
    "alter function credits.use_many security invoker",
    "alter function credits.use_many reset search_path",
    "drop function credits.use_many",
    "alter schema credits rename to mine",
    "alter schema credits owner to current_user",
    "drop schema credits cascade",
    "alter table credits.balances drop constraint balances_pkey",
    "alter table credits.balances owner to current_user",
    "comment on table credits.balances is 'mine'",
    "reindex table credits.balances",
    "alter default privileges for role mana_owner grant all on tables to public"
  ],
  others: [
    "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'postgres'",
    "select pg_cancel_backend(pid) from pg_stat_activity where usename = 'postgres'",
    "select rolpassword from pg_authid",
    "select from pg_shadow",
    "select from pg_statistic",
    "select from pg_hba_file_rules",
    "select pg_create_physical_replication_slot('mine')",
    "select pg_stat_reset()",
    "select pg_backup_start('mine')"
  ]
}

/** What no transaction may hold. */
const aloneOnly = ["alter system set fsync = off", "create database mine", "create tablespace mine location '/tmp'"]

test.each(["mana_service", "mana_worker", "mana_ops", "mana_readonly"] as const)(
  "%s changes nothing of the server's, and adds no extension of those there are (42501)",
  async (role) => {
    const there = await db.query(
      // Those that need others fail for want of them.
      `select distinct name from pg_available_extension_versions where not installed and requires is null`
    )
    const statements = there.map(({ name }) => `create extension "${name}"`)
    expect(await outcomes(role, statements)).toEqual(all(statements, denied))
    await as(role, async (client) => {
      for (const text of aloneOnly) {
        await expect(client.query(text), text).rejects.toMatchObject({ code: denied })
      }
    })
  }
)

test.each(Object.entries(escapes))(
  "the service gets out by none of these ways: %s (42501)",
  async (_what, statements) => {
    expect(await outcomes("mana_service", statements)).toEqual(all(statements, denied))
  }
)

test.each(["mana_worker", "mana_ops", "mana_readonly"] as const)(
  "%s gets out by none of these ways either (42501)",
  async (role) => {
    const statements = Object.values(escapes).flat()
    expect(await outcomes(role, statements)).toEqual(all(statements, denied))
  }
)

test("a login that acts for service and worker, as in production, may what the two may (42501)", async () => {
  const name = `login_${randomUUID().replaceAll("-", "")}`
  await db.query(`create role ${name} login password 'login' in role mana_service, mana_worker`)
  const url = new URL(db.url)
  url.username = name
  url.password = "login"
  const pool = new pg.Pool({ connectionString: url.href, max: 1 })
  const client = await pool.connect()
  const statements = [
    ...Object.values(escapes).flat(),
    "set role mana_ops",
    "set role mana_readonly",
    ...relations.filter(({ schema }) => schema !== "graphile_worker").flatMap(writing)
  ]
  try {
    for (const before of ["reset role", "set role mana_service", "set role mana_worker"]) {
      await client.query(before)
      const found: Record<string, string> = {}
      for (const text of statements) found[text] = await attempt(client, text)
      expect(found, before).toEqual(all(statements, denied))
    }
  } finally {
    client.release()
    await pool.end()
    await db.query(`drop role ${name}`)
  }
})

test("names put before ours on the search path change nothing", async () => {
  const userId = await db.userWith(10)
  // What only a superuser could make, and the service is then told to find first.
  await db.query(`
    create schema shadow;
    grant usage on schema shadow to public;
    create table shadow.balances (like credits.balances);
    create table shadow.transactions (like credits.transactions);
    grant all on all tables in schema shadow to public;
    create function shadow.now() returns timestamptz language sql return '-infinity'::timestamptz;
    create function shadow.lower(text) returns text language sql return 'shadow';
    create function shadow.uuidv7() returns uuid language sql return '00000000-0000-0000-0000-000000000000'::uuid;
    create function shadow.yes(bigint, bigint) returns boolean language sql return true;
    create operator shadow.>= (leftarg = bigint, rightarg = bigint, function = shadow.yes);
    create operator shadow.< (leftarg = bigint, rightarg = bigint, function = shadow.yes)`)
  await as("mana_service", async (client) => {
    await client.query("set search_path = shadow, pg_temp, pg_catalog")
    const use = (amount: number) => client.query("select credits.use($1, $2, 'chat', 'd') as answer", [userId, amount])
    await expect(use(11)).rejects.toMatchObject({ code: "CR002" })
    const { rows } = await use(4)
    expect(rows[0].answer).toMatchObject({ newBalance: { balance: 6 } })
    await client.query("reset search_path")
  })
  const shadows = "select (select count(*) from shadow.balances) + (select count(*) from shadow.transactions) as rows"
  expect(await db.query(shadows)).toEqual([{ rows: 0 }])
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 6 })
  await db.query("drop schema shadow cascade")
})

test("the break-glass of the ledger doesn't open for the service (42501)", async () => {
  await as("mana_service", async (client) => {
    await client.query("set mana.break_glass = 'let me in'")
    expect(await attempt(client, "delete from credits.transactions")).toBe(denied)
    await client.query("reset mana.break_glass")
  })
})
