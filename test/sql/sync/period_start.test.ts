import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { monthsAfter } from "./subscribers.ts"

const db = await database()

const periodStart = async (anchor: string, months: number) => {
  const [row] = await db.query("select sync.period_start($1, $2) as at", [anchor, months])
  return row.at.toISOString()
}

test.each([
  ["31 Jan, then 28 Feb", "2027-01-31T09:00:00.000Z", 1, "2027-02-28T09:00:00.000Z"],
  ["and 31 Mar again", "2027-01-31T09:00:00.000Z", 2, "2027-03-31T09:00:00.000Z"],
  ["31 Jan, then 29 Feb in a leap year", "2028-01-31T09:00:00.000Z", 1, "2028-02-29T09:00:00.000Z"],
  ["yearly from 29 Feb", "2028-02-29T09:00:00.000Z", 12, "2029-02-28T09:00:00.000Z"],
  ["and 29 Feb again", "2028-02-29T09:00:00.000Z", 48, "2032-02-29T09:00:00.000Z"],
  ["2100 is no leap year", "2099-02-28T09:00:00.000Z", 12, "2100-02-28T09:00:00.000Z"],
  ["over the year's end", "2027-11-30T23:59:59.999Z", 3, "2028-02-29T23:59:59.999Z"],
  ["no months", "2027-05-05T00:00:00.000Z", 0, "2027-05-05T00:00:00.000Z"]
])("%s", async (_what, anchor, months, expected) => {
  expect(await periodStart(anchor, months)).toBe(expected)
})

test("is the same in every session time zone", async () => {
  // An hour before midnight and one after, where one zone is in another month than the next.
  for (const zone of ["UTC", "Pacific/Kiritimati", "America/Los_Angeles", "Europe/Berlin"]) {
    const [row] = await db.query(
      `select set_config('timezone', $1, false),
         (select array_agg(sync.period_start(a, 1)) from unnest(array[timestamptz '2027-01-31T23:30Z', '2027-03-01T00:30Z']) a) as at`,
      [zone]
    )
    expect(
      row.at.map((at: Date) => at.toISOString()),
      zone
    ).toEqual(["2027-02-28T23:30:00.000Z", "2027-04-01T00:30:00.000Z"])
  }
})

test("agrees with a reckoning of its own for every day of four years and 24 months", async () => {
  const rows = await db.query(
    `select a as anchor, array_agg(sync.period_start(a, m) order by m) as dates
     from generate_series(timestamptz '2027-01-01T12:00Z', '2030-12-31T12:00Z', '1 day') a, generate_series(0, 24) m
     group by a`
  )
  expect(rows).toHaveLength(1461)
  for (const { anchor, dates } of rows) {
    expect(dates).toEqual(Array.from({ length: 25 }, (_, months) => monthsAfter(anchor, months)))
  }
})
