import * as fs from "node:fs"
import { expect, test } from "vitest"
import { refusals } from "../../src/http/ask.ts"

/** The rows of the table in sql/errors.md: SQLSTATE, meaning, facts, HTTP, code. */
const catalogue = fs
  .readFileSync(new URL("../../sql/errors.md", import.meta.url), "utf8")
  .split("\n")
  .filter((line) => line.startsWith("| CR"))
  .map((line) => line.split("|").map((cell) => cell.trim().replaceAll("`", "")))
  .map(([, sqlstate, , , status, code]) => ({ sqlstate, status: Number(status), code }))

test("sql/errors.md and the table of refusals agree", () => {
  expect(catalogue.length).toBeGreaterThan(5)
  const table = Object.entries(refusals).map(([sqlstate, { status, code }]) => ({ sqlstate, status, code }))
  expect(table).toEqual(catalogue)
})
