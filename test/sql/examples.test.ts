import * as fs from "node:fs/promises"
import * as path from "node:path"
import { loadModule } from "libpg-query"
import { beforeAll, expect, test } from "vitest"
import { database } from "../support/database.ts"
import { psql } from "../support/psql.ts"

/** sql/examples: what a reader sees there is what happens. `npm run golden` writes the output anew. */
const db = await database()

const folder = path.resolve(import.meta.dirname, "../../sql/examples")
const names = (await fs.readdir(folder)).filter((name) => name.endsWith(".sql")).toSorted()
const read = (name: string) => fs.readFile(path.join(folder, name), "utf8")

beforeAll(() => loadModule())

test.each(names)("%s prints what is checked in beside it", async (name) => {
  const client = await db.poolAs("mana_ops").connect()
  try {
    await expect(await psql(client, await read(name))).toMatchFileSnapshot(
      path.join(folder, name.replace(/\.sql$/, ".out"))
    )
  } finally {
    client.release()
  }
})

test("every function that a person may call is in an example", async () => {
  // What Stripe, the clock and the delivery of events call is for them; the tests show how.
  const callable = await db.query(
    `select format('%s.%s', n.nspname, p.proname) as name from pg_proc p join pg_namespace n on n.oid = p.pronamespace
     where n.nspname in ('credits', 'gifts', 'sync', 'ops') and has_function_privilege('mana_ops', p.oid, 'execute')
     order by 1`
  )
  const text = (await Promise.all(names.map(read))).join("\n")
  expect(callable.map(({ name }) => name).filter((name) => !text.includes(`${name}(`))).toEqual([])
})
