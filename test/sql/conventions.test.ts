import * as fs from "node:fs/promises"
import * as path from "node:path"
import { expect, test } from "vitest"
import { database } from "../support/database.ts"
import { ours } from "../support/schema.ts"

/** What every object of ours keeps to. Each query asks the catalog for those that don't: none. */
const db = await database()

const root = path.resolve(import.meta.dirname, "../..")
const read = (file: string) => fs.readFile(path.join(root, file), "utf8")
const filesIn = async (folder: string, ending: string) =>
  (await fs.readdir(path.join(root, folder), { recursive: true }))
    .filter((file) => file.endsWith(ending))
    .map((file) => `${folder}/${file}`)
    .toSorted()

const functions = `pg_proc p join pg_namespace n on n.oid = p.pronamespace where ${ours}`

test.each([
  {
    what: "security definer function without its search_path pinned",
    query: `select p.oid::regprocedure from ${functions}
      and p.prosecdef and not coalesce('search_path=pg_catalog, pg_temp' = any (p.proconfig), false)`
  },
  {
    what: "function that PUBLIC may call",
    query: `select p.oid::regprocedure from ${functions} and (
      p.proacl is null or exists (select from aclexplode(p.proacl) a where a.grantee = 0))`
  },
  {
    what: "function that a role may call and that runs with this role's own privileges",
    query: `select p.oid::regprocedure from ${functions} and not p.prosecdef
      and exists (select from aclexplode(p.proacl) a where a.grantee <> p.proowner)`
  },
  {
    what: "security definer function that a superuser owns",
    query: `select p.oid::regprocedure from ${functions}
      and p.prosecdef and (select r.rolsuper from pg_roles r where r.oid = p.proowner)`
  },
  {
    what: "role but the owner that may make anything in this database or in a schema",
    query: `
      select d.datname, a.grantee, a.privilege_type
      from pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
      where d.datname = current_database() and a.privilege_type in ('CREATE', 'TEMPORARY')
        and a.grantee not in (d.datdba, 'mana_owner'::regrole)
      union all
      select n.nspname, a.grantee, a.privilege_type
      from pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
      where n.nspname !~ '^pg_(toast|temp)' and a.privilege_type = 'CREATE' and a.grantee <> n.nspowner`
  },
  {
    what: "role of ours that is a member of one that may more",
    query: `select r.rolname, g.rolname as of
      from pg_auth_members m join pg_roles r on r.oid = m.member join pg_roles g on g.oid = m.roleid
      where r.rolname like 'mana\\_%' and (r.rolname, g.rolname) not in (
        ('mana_ops', 'mana_readonly'), ('mana_worker', 'mana_service'), ('mana_owner', 'mana_worker'))`
  },
  {
    what: "view of ours, and no trigger on a table of ours that runs somebody else's function",
    query: `
      select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where ${ours} and c.relkind in ('v', 'm', 'f')
      union all
      select t.tgrelid::regclass::text from pg_trigger t join pg_class c on c.oid = t.tgrelid
      join pg_namespace n on n.oid = c.relnamespace join pg_proc p on p.oid = t.tgfoid
      where ${ours} and not t.tgisinternal and p.proowner <> 'mana_owner'::regrole`
  },
  {
    what: "function of the owner that calls one of the queue, which its worker could put in another's place",
    query: `select p.oid::regprocedure from ${functions} and p.prosrc ilike '%graphile_worker%'`
  },
  {
    what: "function, table, type or schema that mana_owner doesn't own",
    query: `
      select p.oid::regprocedure::text from ${functions} and p.proowner <> 'mana_owner'::regrole
      union all
      select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where ${ours} and c.relowner <> 'mana_owner'::regrole
      union all
      select t.oid::regtype::text from pg_type t join pg_namespace n on n.oid = t.typnamespace
      where ${ours} and t.typowner <> 'mana_owner'::regrole
      union all
      select n.nspname from pg_namespace n where ${ours} and n.nspowner <> 'mana_owner'::regrole`
  },
  {
    what: "object of the queue that mana_worker doesn't own",
    query: `
      select c.oid::regclass::text from pg_class c where c.relnamespace = 'graphile_worker'::regnamespace
        and c.relowner <> 'mana_worker'::regrole
      union all
      select p.oid::regprocedure::text from pg_proc p where p.pronamespace = 'graphile_worker'::regnamespace
        and p.proowner <> 'mana_worker'::regrole`
  },
  {
    what: "schema or table that PUBLIC may use",
    query: `
      select n.nspname from pg_namespace n, aclexplode(n.nspacl) a
      where a.grantee = 0 and n.nspname !~ '^(pg_catalog|information_schema|public)$'
      union all
      select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace,
        aclexplode(c.relacl) a
      where a.grantee = 0 and n.nspname !~ '^(pg_|information_schema)'`
  },
  {
    what: "role of ours that may log in or more",
    query: `select rolname from pg_roles where rolname like 'mana\\_%'
      and (rolcanlogin or rolsuper or rolcreatedb or rolcreaterole or rolreplication or rolbypassrls)`
  },
  {
    what: "function without a comment",
    query: `select p.oid::regprocedure from ${functions} and obj_description(p.oid, 'pg_proc') is null`
  },
  {
    what: "table without a comment or a primary key",
    query: `select c.oid::regclass from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where c.relkind in ('r', 'p') and ${ours} and (obj_description(c.oid, 'pg_class') is null
        or not exists (select from pg_constraint o where o.conrelid = c.oid and o.contype = 'p'))`
  },
  {
    what: "second function of one name",
    query: `select n.nspname, p.proname from ${functions} group by 1, 2 having count(*) > 1`
  },
  {
    what: "money column that isn't a bigint",
    query: `select a.attrelid::regclass, a.attname from pg_attribute a
      join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
      left join pg_type t on t.oid = a.atttypid
      where ${ours} and c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped
        and a.attname ~ '(amount|balance|credits|held|debt|total|earned|spent)'
        and case when t.typtype = 'd' then t.typbasetype else t.oid end
          not in ('bigint'::regtype, 'text'::regtype, 'uuid'::regtype, 'uuid[]'::regtype, 'bytea'::regtype)`
  }
])("there is no $what", async ({ query }) => {
  expect(await db.query(query)).toEqual([])
})

const include = /^--!include (\S+)$/gm

/** sql/<schema>/<function>.sql; the examples are calls, no functions. */
const functionFiles = async () =>
  (await filesIn("sql", ".sql"))
    .map((file) => file.slice("sql/".length))
    .filter((file) => file.includes("/") && !file.startsWith("examples/"))

test("every function file is in all.sql, once, and ends up in the database; grants.sql comes last", async () => {
  const included = [...(await read("sql/all.sql")).matchAll(include)].map(([, file]) => file)
  expect(included.at(-1)).toBe("grants.sql")
  expect(included.slice(0, -1).toSorted()).toEqual(await functionFiles())
})

test("every function of the database has its file, but for the ledger's guards, which are the migration's", async () => {
  const found = await db.query(`select n.nspname || '/' || p.proname || '.sql' as file from ${functions}
    and p.prorettype <> 'trigger'::regtype order by 1`)
  expect(found.map(({ file }) => file)).toEqual(await functionFiles())
})

test("every public function has its test file", async () => {
  const found = await db.query(`select n.nspname || '/' || p.proname as name from ${functions}
    and obj_description(p.oid, 'pg_proc') ~ '\\mFor mana_' order by 1`)
  const tests = await filesIn("test/sql", ".test.ts")
  expect(found.map(({ name }) => `test/sql/${name}.test.ts`).filter((file) => !tests.includes(file))).toEqual([])
})

const sqlstate = /\bCR\d{3}\b/g
const catalogued = async () => [...(await read("sql/errors.md")).matchAll(/^\| (CR\d{3}) /gm)].map(([, code]) => code)
const sources = async () => [...(await filesIn("sql", ".sql")), ...(await filesIn("migrations/committed", ".sql"))]

test("every SQLSTATE that is raised is in sql/errors.md, and every one there is raised", async () => {
  const texts = await Promise.all((await sources()).map(read))
  const raised = texts.flatMap((text) => [...text.matchAll(/errcode = '(CR\d{3})'/g)].map(([, code]) => code))
  expect([...new Set(raised)].toSorted()).toEqual(await catalogued())
})

test("every SQLSTATE in sql/errors.md is in the title of a test", async () => {
  const texts = await Promise.all((await filesIn("test/sql", ".test.ts")).map(read))
  const titles = texts.flatMap((text) => [...text.matchAll(/\((?:CR\d{3}(?:, )?)+\)/g)].map(([title]) => title))
  const tested = new Set(titles.flatMap((title) => title.match(sqlstate) ?? []))
  expect((await catalogued()).filter((code) => code === undefined || !tested.has(code))).toEqual([])
})

test("no comment of a function speaks of a SQLSTATE that isn't in sql/errors.md", async () => {
  const comments = await db.query(`select obj_description(p.oid, 'pg_proc') as comment from ${functions}`)
  const known = await catalogued()
  const mentioned = comments.flatMap(({ comment }): ReadonlyArray<string> => comment.match(sqlstate) ?? [])
  expect(mentioned.filter((code) => !known.includes(code))).toEqual([])
})
