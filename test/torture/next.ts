/** A version that doesn't exist yet: a copy of ours with another migration and other functions. */
import { createHash } from "node:crypto"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { fileURLToPath } from "node:url"

export const root = fileURLToPath(new URL("../..", import.meta.url))

/** As graphile-migrate hashes a migration, with the one before it. */
const hashOf = (body: string, previous: string) =>
  `sha1:${createHash("sha1").update(`${previous}\n${body.trim()}\n`).digest("hex")}`

/** Adds a migration to a copy of ours; answers with its name. */
export const addMigration = async (to: string, body: string): Promise<string> => {
  const committed = path.join(to, "migrations/committed")
  const last = (await fs.readdir(committed)).toSorted().at(-1) ?? ""
  const previous = /^--! Hash: (\S+)$/m.exec(await fs.readFile(path.join(committed, last), "utf8"))?.[1] ?? ""
  const name = `${String(Number.parseInt(last, 10) + 1).padStart(6, "0")}-next.sql`
  await fs.writeFile(
    path.join(committed, name),
    `--! Previous: ${previous}\n--! Hash: ${hashOf(body, previous)}\n--! Message: next\n\n${body.trim()}\n`
  )
  return name
}

/** Adds a function to a copy of ours, or replaces one: `ops/next.sql` defines ops.next. */
export const writeFunction = async (to: string, file: string, text: string): Promise<void> => {
  await fs.writeFile(path.join(to, "sql", file), text)
  const list = path.join(to, "sql/all.sql")
  const listed = await fs.readFile(list, "utf8")
  const include = `--!include ${file}\n`
  if (!listed.includes(include)) {
    await fs.writeFile(list, listed.replace("--!include grants.sql", `${include}--!include grants.sql`))
  }
}

/** Copies what `migrate` reads into a folder. */
export const copySchema = async (to: string): Promise<void> => {
  await fs.mkdir(to, { recursive: true })
  for (const name of ["migrations", "sql"]) {
    await fs.cp(path.join(root, name), path.join(to, name), { recursive: true })
  }
}

/** Copies a checkout into a folder, dependencies as a link. */
export const copyProject = async (to: string): Promise<void> => {
  await copySchema(to)
  for (const name of ["src", "package.json", ".gmrc"]) {
    await fs.cp(path.join(root, name), path.join(to, name), { recursive: true })
  }
  await fs.mkdir(path.join(to, "test"))
  await fs.cp(path.join(root, "test/torture"), path.join(to, "test/torture"), { recursive: true })
  await fs.symlink(path.join(root, "node_modules"), path.join(to, "node_modules"))
}
