import * as fs from "node:fs/promises"
import * as path from "node:path"
import { expect, test } from "vitest"
import { database } from "../../support/database.ts"

const db = await database()
const sql = path.resolve(import.meta.dirname, "../../../sql")

test("sql/events.md lists every event that the functions write, and no other", async () => {
  const catalogue = await fs.readFile(path.join(sql, "events.md"), "utf8")
  const listed = [...catalogue.matchAll(/^\| `([a-z]+\.[a-z_]+)`/gm)].map(([, type]) => type)

  const functions = await db.query(
    `select p.prosrc, n.nspname || '.' || p.proname as name from pg_proc p
     join pg_namespace n on n.oid = p.pronamespace where n.nspname ~ '^(credits|gifts|stripe|sync|ops)$'`
  )
  const names = new Set(functions.map(({ name }) => name))
  const written = functions.flatMap(({ prosrc }) =>
    // A request is named after its function.
    [...prosrc.matchAll(/'((?:credits|gift|purchase|sync)\.[a-z_]+)'/g)].flatMap(([, type]) =>
      names.has(type) ? [] : [type]
    )
  )
  // gifts.give_back puts the two together.
  expect([...new Set([...written, "gift.cancelled", "gift.expired"])].toSorted()).toEqual(listed.toSorted())
})
