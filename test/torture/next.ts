/** A version that doesn't exist yet: our migrations and one more, committed as graphile-migrate commits them. */
import { createHash } from "node:crypto"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { fileURLToPath } from "node:url"

export const root = fileURLToPath(new URL("../..", import.meta.url))

/** As graphile-migrate hashes a migration, with the one before it. */
const hashOf = (body: string, previous: string) =>
  `sha1:${createHash("sha1").update(`${previous}\n${body.trim()}\n`).digest("hex")}`

/** Copies the folder of migrations and adds one; answers with its name. */
export const copyMigrations = async (to: string, body: string): Promise<string> => {
  await fs.cp(path.join(root, "migrations"), to, { recursive: true, verbatimSymlinks: true })
  // A link to ../sql, which a migration without includes doesn't need.
  await fs.rm(path.join(to, "fixtures"))
  await fs.mkdir(path.join(to, "fixtures"))
  const committed = path.join(to, "committed")
  const last = (await fs.readdir(committed)).toSorted().at(-1) ?? ""
  const previous = /^--! Hash: (\S+)$/m.exec(await fs.readFile(path.join(committed, last), "utf8"))?.[1] ?? ""
  const name = `${String(Number.parseInt(last, 10) + 1).padStart(6, "0")}-next.sql`
  await fs.writeFile(
    path.join(committed, name),
    `--! Previous: ${previous}\n--! Hash: ${hashOf(body, previous)}\n--! Message: next\n\n${body.trim()}\n`
  )
  return name
}

/** A checkout of that version in a folder: its sources are ours, its migrations one more. */
export const copyProject = async (to: string, body: string): Promise<string> => {
  await fs.mkdir(to)
  for (const name of ["src", "package.json", ".gmrc"]) {
    await fs.cp(path.join(root, name), path.join(to, name), { recursive: true })
  }
  await fs.mkdir(path.join(to, "test"))
  await fs.cp(path.join(root, "test/torture"), path.join(to, "test/torture"), { recursive: true })
  await fs.symlink(path.join(root, "node_modules"), path.join(to, "node_modules"))
  return copyMigrations(path.join(to, "migrations"), body)
}
