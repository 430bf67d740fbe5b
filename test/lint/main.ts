/** `npm run lint:sql`: the rules of sql.ts on every SQL file of ours; exits with 1 when one breaks them. */
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { loadModule } from "libpg-query"
import { findings, functionNames, type SqlFile } from "./sql.ts"

const root = path.resolve(import.meta.dirname, "../..")

const readAll = async (folder: string): Promise<ReadonlyArray<SqlFile>> => {
  const names = await fs.readdir(path.join(root, folder), { recursive: true })
  return Promise.all(
    names
      .filter((name) => name.endsWith(".sql"))
      .toSorted()
      .map(async (name) => ({
        name: `${folder}/${name}`,
        text: await fs.readFile(path.join(root, folder, name), "utf8")
      }))
  )
}

await loadModule()
const sources = await readAll("sql")
const migrations = await readAll("migrations")
const ours = functionNames(sources)
const found = [...sources, ...migrations].flatMap((file) => findings(file, ours))
for (const line of found) console.error(line)
console.log(`${sources.length + migrations.length} SQL files, ${found.length} findings`)
process.exitCode = found.length === 0 ? 0 : 1
