import * as fs from "node:fs/promises"
import * as os from "node:os"
import * as path from "node:path"
import { Effect } from "effect"
import { expect, onTestFinished, test } from "vitest"
import { migrate } from "../../src/database/migrate.ts"
import { database } from "../support/database.ts"
import { eventually } from "../support/wait.ts"
import { copyMigrations } from "../torture/next.ts"

const db = await database()

/** Sessions that want a table for themselves and don't have it. */
const heldUp = () =>
  db.query(
    `select pid from pg_locks
     where not granted and mode = 'AccessExclusiveLock' and relation = 'credits.balances'::regclass`
  )

test("a migration that wants a table in use lets debits pass, and comes back until it is free", async () => {
  const folder = path.join(await fs.mkdtemp(path.join(os.tmpdir(), "mana-credits-next-")), "migrations")
  onTestFinished(() => fs.rm(path.dirname(folder), { recursive: true }))
  const name = await copyMigrations(folder, "alter table credits.balances add column note text;")
  const userId = await db.userWith(100)

  // A report that takes its time, or a backup.
  const reader = await db.pool.connect()
  await reader.query("begin")
  await reader.query("select count(*) from credits.balances")
  const lines: Array<string> = []
  const migrated = Effect.runPromise(migrate({ url: db.url, folder, log: (line) => void lines.push(line) }))
  await eventually(heldUp, (sessions) => sessions.length === 1)
  // Waits behind the migration, and not for the report.
  await db.call("credits.use", { userId, amount: 1, appId: "chat", description: "One answer" })
  await eventually(
    async () => lines,
    (all) => all.some((line) => line.includes("Held up by a lock"))
  )
  const applied = async () => {
    const rows = await db.query("select name from ops.migrations()")
    return rows.filter((row) => String(row.name).startsWith(name.slice(0, 6)))
  }
  expect(await applied()).toEqual([])

  await reader.query("commit")
  reader.release()
  await migrated
  expect(await applied()).toHaveLength(1)
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 99, note: null })
})
