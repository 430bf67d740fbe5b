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
