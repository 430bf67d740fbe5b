import { expect, test } from "vitest"
import { readFunctions } from "../../../src/database/functions.ts"
import { database } from "../../support/database.ts"

const db = await database()

test("names the checksum of sql/ to the service, the last one applied at the end", async () => {
  const { checksum } = await readFunctions()
  const rows = await db.rows("ops.functions_applied", {}, "mana_service")
  expect(rows).toEqual([{ checksum, applied_at: expect.any(Date) }])
  await db.query("insert into ops.functions_applied (checksum, applied_at) values ($1, 'epoch')", ["0".repeat(64)])
  const later = await db.rows("ops.functions_applied", {}, "mana_ops")
  expect(later.map((row) => row.checksum)).toEqual([checksum, "0".repeat(64)])
})
