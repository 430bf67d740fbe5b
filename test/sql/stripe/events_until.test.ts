import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { begin } from "../../support/stripe.ts"

const db = await database()

const inMinutes = (minutes: number) => new Date(Date.now() + minutes * 60_000)

test("starts now while nobody has bought anything", async () => {
  const now = inMinutes(0)
  expect(await db.call("stripe.events_until", { livemode: true, now })).toEqual({ until: now.toISOString() })
})

test("starts with the first purchase, moves on and never back, at most 29 days behind", async () => {
  await begin(db, { livemode: true })
  await begin(db)
  const [first] = await db.query("select min(created_at) as at from credits.purchases where livemode = false")
  const until = async (args: object) => (await db.call("stripe.events_until", { livemode: false, ...args })).until
  expect(await until({})).toBe(first.at.toISOString())
  const later = inMinutes(60)
  expect(await until({ until: later, now: later })).toBe(later.toISOString())
  expect(await until({ until: inMinutes(30) })).toBe(later.toISOString())
  // A service whose clock is an hour ahead passes nothing over.
  const evenLater = inMinutes(61)
  expect(await until({ until: inMinutes(121), now: evenLater })).toBe(evenLater.toISOString())
  const muchLater = inMinutes(40 * 1440)
  expect(await until({ now: muchLater })).toBe(new Date(muchLater.getTime() - 29 * 86_400_000).toISOString())
})
