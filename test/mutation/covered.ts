/** What of the database each test file touches: which tests can notice a change of it. */
import * as fs from "node:fs/promises"
import pg from "pg"
import { expect } from "vitest"

/** Set by the mutation run: the file that covered lines are appended to. */
const file = process.env["MANA_COVERED"]

const touched = `
  select schemaname || '.' || funcname as name from pg_stat_user_functions where calls > 0
  union
  select schemaname || '.' || relname from pg_stat_user_tables where n_tup_ins + n_tup_upd + n_tup_del > 0`

/** At the end of a test file, its sessions over: notes what was used of its database. Does nothing in an ordinary run. */
export const noteCovered = async (url: string) => {
  if (file === undefined) return
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const { rows } = await client.query<{ readonly name: string }>(touched)
    // Functions called and tables written; what the planner inlined isn't among the functions.
    const covered = { test: expect.getState().testPath ?? "", objects: rows.map(({ name }) => name) }
    await fs.appendFile(file, `${JSON.stringify(covered)}\n`)
  } finally {
    await client.end()
  }
}
