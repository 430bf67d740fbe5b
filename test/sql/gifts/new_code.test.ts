import { expect, test } from "vitest"
import { database } from "../../support/database.ts"

const db = await database()
const alphabet = [..."0123456789ABCDEFGHJKMNPQRSTVWXYZ"]

test("makes 10,000 codes without a look-alike, a duplicate, or a bias that a chi-squared test sees", async () => {
  const rows = await db.query("select gifts.new_code() as code from generate_series(1, 10000)")
  const codes: ReadonlyArray<string> = rows.map((row) => row.code)
  expect(new Set(codes).size).toBe(10_000)
  expect(codes.filter((code) => !/^[0-9A-HJKMNP-TV-Z]{12}$/.test(code))).toEqual([])

  // 31 degrees of freedom: beyond 81.4 once in a million fair draws, so that thirteen of them fail a run once in 76,000.
  const chiSquared = (symbols: ReadonlyArray<string>) => {
    const expected = symbols.length / alphabet.length
    return alphabet
      .map((symbol) => symbols.filter((each) => each === symbol).length)
      .reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
  }
  expect(chiSquared(codes.flatMap((code) => [...code]))).toBeLessThan(81.4)
  for (let position = 0; position < 12; position++) {
    expect(chiSquared(codes.map((code) => code.charAt(position))), `position ${position}`).toBeLessThan(81.4)
  }
})

test("draws each symbol by itself: neighbours are no more alike than chance has it", async () => {
  const rows = await db.query("select gifts.new_code() as code from generate_series(1, 10000)")
  const pairs: ReadonlyArray<string> = rows.flatMap((row) =>
    Array.from({ length: 11 }, (_, index) => row.code.slice(index, index + 2))
  )
  const counts = new Map<string, number>()
  for (const pair of pairs) counts.set(pair, (counts.get(pair) ?? 0) + 1)
  const expected = pairs.length / 1024
  const chiSquared = [...counts.values()].reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
  // 1023 degrees of freedom: mean 1023, deviation 45; five deviations and a half.
  expect(counts.size).toBe(1024)
  expect(chiSquared).toBeLessThan(1272)
})
