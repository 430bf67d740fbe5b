import { Effect } from "effect"
import pg from "pg"
import { expect, inject, test } from "vitest"
import { readFunctions } from "../../src/database/functions.ts"
import { migrate } from "../../src/database/migrate.ts"
import { database } from "../support/database.ts"
import { functionDefinitions, schemaText } from "../support/schema.ts"

const db = await database()

test("the schema is as in test/golden/schema.txt (npm run golden writes it anew: read the difference)", async () => {
  await expect(await schemaText(db.pool)).toMatchFileSnapshot("../golden/schema.txt")
})

test("reapplying every function file changes no definition: none is forgotten, no old overload stays", async () => {
  const client = await db.pool.connect()
  try {
    const before = await functionDefinitions(client)
    await client.query("begin")
    await client.query("set local role mana_owner")
    const { files, grants } = await readFunctions()
    for (const { text } of [...files, grants]) await client.query(text)
    expect(await functionDefinitions(client)).toEqual(before)
  } finally {
    await client.query("rollback")
    client.release()
  }
})

// While a change is being written, its tables are in migrations/current.sql only. .ci/run sets CI=true.
test.runIf(process.env["CI"] === "true")(
  "the committed migrations and sql/ make this very schema (only with CI=true: commit what is in current.sql first)",
  async () => {
    const admin = new pg.Client({ connectionString: inject("serverUrl") })
    await admin.connect()
    const name = "committed_only"
    await admin.query(`create database ${name}`)
    const url = new URL(inject("serverUrl"))
    url.pathname = name
    const committed = new pg.Client({ connectionString: url.href })
    try {
      await Effect.runPromise(migrate({ url: url.href }))
      await committed.connect()
      expect(await schemaText(committed)).toBe(await schemaText(db.pool))
      expect(await functionDefinitions(committed)).toEqual(await functionDefinitions(db.pool))
    } finally {
      await committed.end()
      await admin.query(`drop database ${name} with (force)`)
      await admin.end()
    }
  }
)
