import * as fs from "node:fs"
import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { afterEveryError } from "./errors.ts"
import { kinds, refusalsMade } from "./kinds.ts"

const db = await database()

test("every refusal of sql/errors.md is among the kinds of error", () => {
  const catalogue = fs.readFileSync(new URL("../../../sql/errors.md", import.meta.url), "utf8")
  expect(refusalsMade).toEqual([...catalogue.matchAll(/^\| (CR\d+)/gm)].map(([, sqlstate]) => sqlstate))
})

test("a pooled connection is as good as new after every kind of error", { timeout: 60_000 }, async () => {
  const order = kinds.values()
  const { facts, wrong } = await afterEveryError(db, {
    // A document of 16 MB is refused in less than that on a slow machine, too.
    waits: { statementTimeout: 2000, connectTimeout: 1500 },
    calls: 10,
    order: () => order.next().value,
    say: () => undefined
  })
  expect(wrong).toEqual([])
  expect(facts["errors made"]).toBe(kinds.length)
})
