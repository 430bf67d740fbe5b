import { expect, test } from "vitest"
import { database } from "../../support/database.ts"

const db = await database()
const normal = async (code: string | null) => (await db.query("select gifts.normal_code($1) as code", [code]))[0].code

test.each([
  { what: "as it is shown", typed: "ABCD-EFGH-JKMN" },
  { what: "without dashes", typed: "ABCDEFGHJKMN" },
  { what: "in lower case", typed: "abcd-efgh-jkmn" },
  { what: "with blanks around and between", typed: " abcd efgh\tjkmn\n" },
  { what: "with dashes elsewhere", typed: "AB-CDEFG-HJKM-N-" },
  { what: "with the dashes a phone puts in", typed: "ABCD–EFGH‑JKMN" }
])("reads a code $what", async ({ typed }) => {
  expect(await normal(typed)).toBe("ABCDEFGHJKMN")
})

test("reads symbols that look like another as that one", async () => {
  expect(await normal("OoIi-LlUu-0011")).toBe("001111VV0011")
})

test.each([
  { what: "null", typed: null },
  { what: "nothing", typed: "" },
  { what: "11 symbols", typed: "ABCD-EFGH-JKM" },
  { what: "13 symbols", typed: "ABCD-EFGH-JKMN-P" },
  { what: "another sign", typed: "ABCD-EFGH-JKM!" },
  { what: "a letter that isn't ASCII", typed: "ABCD-EFGH-JKMÄ" },
  { what: "a wildcard", typed: "%" },
  { what: "very long", typed: "A".repeat(100_000) }
])("reads no code from $what", async ({ typed }) => {
  expect(await normal(typed)).toBeNull()
})
