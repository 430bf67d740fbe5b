/** The functions of `sql/`: the list of their files, one checksum over them, and how `migrate` applies them. */
import { createHash } from "node:crypto"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { Predicate } from "effect"
import pg from "pg"

/** The folder that holds `sql/` and `migrations/`. */
export const projectRoot = path.resolve(fileURLToPath(import.meta.url), "../../..")

const schemas = ["credits", "gifts", "sync", "stripe", "events", "ops"]

interface SqlFile {
  /** Below `sql/`: `credits/use.sql` defines credits.use. */
  readonly name: string
  readonly text: string
}

export interface Functions {
  readonly files: ReadonlyArray<SqlFile>
  readonly grants: SqlFile
  /** sha256 over all names and texts, in hexadecimal digits. */
  readonly checksum: string
}

const grantsFile = "grants.sql"

/** Reads the files that `sql/all.sql` lists, in its order. */
export const readFunctions = async (root: string = projectRoot): Promise<Functions> => {
  const read = async (name: string) => ({ name, text: await fs.readFile(path.join(root, "sql", name), "utf8") })
  const list = await read("all.sql")
  const names = [...list.text.matchAll(/^--!include (\S+)$/gm)].map(([, name = ""]) => name)
  const files = await Promise.all(names.filter((name) => name !== grantsFile).map(read))
  const grants = await read(grantsFile)
  const hash = createHash("sha256")
  for (const { name, text } of [...files, grants]) hash.update(JSON.stringify([name, text]))
  return { files, grants, checksum: hash.digest("hex") }
}

const codeOf = (error: unknown) => (Predicate.hasProperty(error, "code") ? error.code : undefined)

/** The error with the place in front of its message and PostgreSQL's code kept. */
const located = (where: string, error: unknown) => {
  const { message, detail } = error instanceof pg.DatabaseError ? error : { message: String(error), detail: undefined }
  const text = [`${where}: ${message}`, ...(detail === undefined ? [] : [detail])].join("\n")
  return Object.assign(new Error(text, { cause: error }), { code: codeOf(error) })
}

/** `invalid_function_definition`: `create or replace` refuses another return type or another name of an argument. */
const cannotReplace = "42P13"

class CannotReplace extends Error {
  readonly file: string
  constructor(file: string) {
    super(file)
    this.file = file
  }
}

const run = async (client: pg.Client, { name, text }: SqlFile) => {
  try {
    await client.query(text)
  } catch (error) {
    const position = error instanceof pg.DatabaseError ? Number(error.position ?? Number.NaN) : Number.NaN
    const line = Number.isNaN(position) ? "" : `:${text.slice(0, position).split("\n").length}`
    throw located(`sql/${name}${line}`, error)
  }
}

/** Routines of our schemas; trigger functions are the migrations', those of an extension are its own. */
const routines = `
  select format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) as signature
  from pg_catalog.pg_proc p
  join pg_catalog.pg_namespace n on n.oid = p.pronamespace
  where n.nspname = any ($1)
    and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
    and not exists (
      select from pg_catalog.pg_depend d
      where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
    )`

/** `create or replace` writes the row in pg_proc even when nothing changes: an older row is of an earlier version. */
const notDefinedHere = `${routines} and p.xmin <> pg_current_xact_id()::xid order by 1`

const ofFile = `${routines} and format('%s/%s.sql', n.nspname, p.proname) = $2 order by 1`

const drop = async (client: pg.Client, signatures: ReadonlyArray<string>, why: string) => {
  for (const signature of signatures) {
    await client.query(`drop routine ${signature}`).catch((error: unknown) => {
      throw located(`${signature} ${why}, and can't be dropped`, error)
    })
  }
}

const signaturesOf = async (client: pg.Client, query: string, values: ReadonlyArray<unknown>) =>
  (await client.query<{ readonly signature: string }>(query, [...values])).rows.map(({ signature }) => signature)

/** Defines every function, drops the others, and grants; `remade` are files whose function is dropped first. */
const define = async (client: pg.Client, { files, grants }: Functions, remade: ReadonlySet<string>) => {
  for (const file of files) {
    if (remade.has(file.name)) {
      await drop(client, await signaturesOf(client, ofFile, [schemas, file.name]), "is defined anew")
    }
    await run(client, file).catch((error: unknown) => {
      throw codeOf(error) === cannotReplace && !remade.has(file.name) ? new CannotReplace(file.name) : error
    })
  }
  const dropped = await signaturesOf(client, notDefinedHere, [schemas])
  await drop(client, dropped, "isn't listed in sql/all.sql any more")
  // After the drops: a grant names a function without its arguments, which an old overload makes ambiguous.
  await run(client, grants)
  return dropped
}

const lastNumber = (names: ReadonlyArray<string>) =>
  Math.max(0, ...names.filter((name) => name.endsWith(".sql")).map((name) => Number.parseInt(name, 10)))

export interface FunctionsTarget {
  readonly url: string
  readonly root: string
  readonly lockTimeout: string
  readonly log: (line: string) => void
}

const inTransaction = async (
  client: pg.Client,
  functions: Functions,
  remade: ReadonlySet<string>,
  { root, lockTimeout, log }: FunctionsTarget
) => {
  await client.query("begin")
  // One `migrate` at a time. Nobody else takes this lock, so the second one waits as long as the first one works.
  await client.query("set local lock_timeout = 0")
  await client.query("select pg_advisory_xact_lock(hashtextextended('mana-credits functions', 0))")
  await client.query("select set_config('lock_timeout', $1, true)", [lockTimeout])
  await client.query("set local role mana_owner")
  // The files name every schema: nothing is found elsewhere.
  await client.query("set local search_path = pg_catalog, pg_temp")
  const { rows } = await client.query("select to_regclass('ops.functions_applied') is not null as found")
  if (rows[0]?.found !== true) {
    throw new Error("The database was made by migrations older than the baseline: make a new one and move the data.")
  }
  const applied = await client.query("select checksum from ops.functions_applied order by id desc limit 1")
  if (applied.rows[0]?.checksum === functions.checksum) {
    log("Functions: already up to date")
    return
  }
  const migrations = await client.query("select filename from graphile_migrate.migrations")
  const committed = await fs.readdir(path.join(root, "migrations/committed"))
  if (lastNumber(migrations.rows.map(({ filename }) => String(filename))) > lastNumber(committed)) {
    log("Functions: left as they are, since the database has migrations of a later version")
    return
  }
  const dropped = await define(client, functions, remade)
  await client.query("insert into ops.functions_applied (checksum) values ($1)", [functions.checksum])
  await client.query("commit")
  log(`Functions: ${functions.files.length} applied${dropped.length === 0 ? "" : `, dropped ${dropped.join(", ")}`}`)
}

/** Brings the functions to those of `sql/`, all of them or none. Does nothing where they were the last applied. */
export const applyFunctions = async (target: FunctionsTarget): Promise<void> => {
  const functions = await readFunctions(target.root)
  const client = new pg.Client({ connectionString: target.url, application_name: "mana-credits migrate" })
  // A lost connection fails the query in flight.
  client.on("error", () => undefined)
  await client.connect()
  try {
    const remade = new Set<string>()
    for (;;) {
      try {
        return await inTransaction(client, functions, remade, target)
      } catch (error) {
        if (!(error instanceof CannotReplace)) throw error
        remade.add(error.file)
      } finally {
        // Does nothing after a commit.
        await client.query("rollback").catch(() => undefined)
      }
    }
  } finally {
    await client.end()
  }
}
