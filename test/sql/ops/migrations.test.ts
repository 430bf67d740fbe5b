import { readdir } from "node:fs/promises"
import { expect, test } from "vitest"
import { database } from "../../support/database.ts"

const db = await database()

test("names every committed migration, oldest first, to the service", async () => {
  const committed = await readdir(new URL("../../../migrations/committed/", import.meta.url))
  const rows: ReadonlyArray<{ readonly name: string; readonly applied_at: unknown }> = await db.rows(
    "ops.migrations",
    {},
    "mana_service"
  )
  expect(rows.map(({ name }) => name)).toEqual(committed.map((name) => name.replace(/-.*/, ".sql")).toSorted())
  expect(rows.every((row) => row.applied_at instanceof Date)).toBe(true)
})

test("oldest first, whatever place its row has", async () => {
  const names = async () => (await db.rows("ops.migrations", {}, "mana_ops")).map((row) => String(row.name))
  const before = await names()
  await db.query("update graphile_migrate.migrations set date = date where filename = $1", [before[0]])
  expect(await names()).toEqual(before)
})
