/** The functions of `sql/`: the list of their files, one checksum over them, and how `migrate` applies them. */
import { createHash } from "node:crypto"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { Predicate } from "effect"
import pg from "pg"
import { errorMessage } from "../lib/error-message.ts"

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

/** The file that a line of `all.sql` names. Its other lines are comments; a line with a slip would drop its function. */
const includedBy = (line: string) => {
  const name = /^--!include (\S+\.sql)$/.exec(line)?.[1] ?? ""
  const [schema = "", ...file] = name.split("/")
  if (name === grantsFile || (schemas.includes(schema) && file.length === 1)) return name
  throw new Error(
    `sql/all.sql: ${JSON.stringify(line)} must be --!include schema/function.sql, and the schema ${schemas.join(", ")}.`
  )
}

/** Reads the files that `sql/all.sql` lists, in its order. */
export const readFunctions = async (root: string = projectRoot): Promise<Functions> => {
  const read = async (name: string) => ({ name, text: await fs.readFile(path.join(root, "sql", name), "utf8") })
  const list = await read("all.sql")
  const lines = list.text.split(/\r?\n/).filter((line) => line !== "" && !line.startsWith("-- "))
  const names = lines.map(includedBy)
  const files = await Promise.all(names.filter((name) => name !== grantsFile).map(read))
  const grants = await read(grantsFile)
  const hash = createHash("sha256")
  for (const { name, text } of [...files, grants]) hash.update(JSON.stringify([name, text]))
  return { files, grants, checksum: hash.digest("hex") }
}

const codeOf = (error: unknown) => (Predicate.hasProperty(error, "code") ? error.code : undefined)

const withCode = (message: string, cause: unknown) =>
  Object.assign(new Error(message, { cause }), { code: codeOf(cause) })

/** The error with the place in front of its message and PostgreSQL's code kept. */
const located = (where: string, error: unknown) => {
  const { message, detail } = error instanceof pg.DatabaseError ? error : { message: String(error), detail: undefined }
  return withCode([`${where}: ${message}`, ...(detail === undefined ? [] : [detail])].join("\n"), error)
}

/**
 * Functions can't be replaced one by one when there is another return type or name of an argument (42P13), another kind
 * of routine (42809), a call that fits an old overload as well (42725), or one that depends on an old function (2BP01).
 */
const cannotReplace: ReadonlyArray<unknown> = ["42P13", "42809", "42725", "2BP01"]

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

const signaturesOf = async (client: pg.Client, query: string) =>
  (await client.query<{ readonly signature: string }>(query, [schemas])).rows.map(({ signature }) => signature)

/** Drops them in one statement: they may depend on each other. */
const drop = async (client: pg.Client, signatures: ReadonlyArray<string>, called: string) => {
  if (signatures.length === 0) return
  await client.query(`drop routine ${signatures.join(", ")}`).catch((error: unknown) => {
    throw located(`${called} can't be dropped`, error)
  })
}

/** Defines every function, drops the others, and grants. Answers with the signatures of those it dropped. */
const define = async (client: pg.Client, { files, grants }: Functions) => {
  for (const file of files) await run(client, file)
  const others = await signaturesOf(client, notDefinedHere)
  await drop(client, others, others.join(", "))
  // After the drops: a grant names a function without its arguments, which an old overload makes ambiguous.
  await run(client, grants)
  return others
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
  isAnew: boolean,
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
  if (isAnew) await drop(client, await signaturesOf(client, routines), "All functions")
  const dropped = await define(client, functions)
  await client.query("insert into ops.functions_applied (checksum) values ($1)", [functions.checksum])
  await client.query("commit")
  const besides = isAnew ? ", all made again" : dropped.length === 0 ? "" : `, dropped ${dropped.join(", ")}`
  log(`Functions: ${functions.files.length} applied${besides}`)
}

/** Brings the functions to those of `sql/`, all of them or none. Does nothing where they were the last applied. */
export const applyFunctions = async (target: FunctionsTarget): Promise<void> => {
  const functions = await readFunctions(target.root)
  const client = new pg.Client({ connectionString: target.url, application_name: "mana-credits migrate" })
  // A lost connection fails the query in flight.
  client.on("error", () => undefined)
  await client.connect()
  const apply = (isAnew: boolean) =>
    inTransaction(client, functions, isAnew, target).finally(
      // Does nothing after a commit.
      () => client.query("rollback").catch(() => undefined)
    )
  try {
    await apply(false).catch((error: unknown) => {
      if (!cannotReplace.includes(codeOf(error))) throw error
      return apply(true).catch((again: unknown) => {
        // Both, unless the second try failed for the same reason.
        const messages = new Set([errorMessage(error), errorMessage(again)])
        throw withCode([...messages].join("\n"), again)
      })
    })
  } finally {
    await client.end()
  }
}
