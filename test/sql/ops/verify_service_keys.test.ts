import { beforeAll, expect, test } from "vitest"
import { afterDamage, found } from "../../support/damage.ts"
import { database } from "../../support/database.ts"
import { createKey } from "../../support/service-keys.ts"

const db = await database()
const now = new Date("2026-03-01T12:00:00Z")
const tomorrow = new Date("2026-03-02T12:00:00Z")

beforeAll(async () => {
  const { id: serviceKeyId } = await createKey(db, { appId: "chat", dailyCap: 100, now })
  const userId = await db.userWith(1000)
  const through = { userId, caller: "service:chat", serviceKeyId, now }
  // 20 of debits; of holds 5 charged, 7 open, 30 set free.
  await db.call("credits.use", { ...through, amount: 20, appId: "chat", description: "one" })
  const hold = (amount: number) => db.call("credits.reserve", { ...through, amount, reason: "a call" })
  const [charged, , freed] = [await hold(10), await hold(7), await hold(30)]
  await db.call("credits.commit", { reservationId: charged.reservationId, amount: 5, caller: "service:chat", now })
  await db.call("credits.release", { reservationId: freed.reservationId, now })
  // Of the same app through a key without a cap, and of another app.
  await db.call("credits.use", { userId, amount: 3, appId: "chat", description: "one", caller: "service", now })
  // More on the next day.
  await db.call("credits.reserve", { ...through, amount: 60, reason: "a call", now: tomorrow })
  // Through another app's key, debits alone: all that its cap allows, and less than the holds of the first; a grant is
  // no debit less.
  const { id } = await createKey(db, { appId: "draw", dailyCap: 4, now })
  const draw = { userId, caller: "service:draw" }
  for (const [amount, at] of [
    [4, now],
    [1, tomorrow]
  ] as const) {
    const debit = { ...draw, serviceKeyId: id, now: at }
    await db.call("credits.use", { ...debit, amount, appId: "draw", description: "one" })
  }
  await db.call("credits.grant", { ...draw, amount: 10, reason: "test", referenceId: "drawn", now })
})

test("debits and what holds came to are counted", async () => {
  const days = await db.query("select day::text, spent from credits.service_key_days order by day, spent")
  expect(days).toEqual([
    { day: "2026-03-01", spent: 4 },
    { day: "2026-03-01", spent: 32 },
    { day: "2026-03-02", spent: 1 },
    { day: "2026-03-02", spent: 60 }
  ])
})

const keyOf = (appId: string) => `(select id from credits.service_keys where app_id = '${appId}')`
const spent = (amount: number, appId = "chat") =>
  `update credits.service_key_days set spent = ${amount}
   where key_id = ${keyOf(appId)} and day = '2026-03-01'`

test.each([
  ["nothing wrong", "select", []],
  ["less than went through the key, as far as can be told", spent(12), []],
  ["less than its holds came to", spent(11), ["daily_cap_holds"]],
  ["more than the ledger has of the app", spent(33), ["daily_cap_debits"]],
  ["more than the ledger has of an app without holds", spent(5, "draw"), ["daily_cap", "daily_cap_debits"]],
  ["more than the cap", spent(101), ["daily_cap", "daily_cap_debits"]],
  ["a count for a key without a cap", "update credits.service_keys set daily_cap = null", ["daily_cap"]]
])("%s", async (_what, damage, invariants) => {
  expect(await found(db, damage)).toEqual(invariants)
})

test("finds debits counted for an app that has none in the ledger", async () => {
  const damage = "delete from credits.transactions where caller = 'service:draw' and type = 'usage'"
  const asked = { text: "select * from ops.verify_service_keys() order by detail" }
  expect(await afterDamage(db, [damage], asked)).toEqual([
    [
      ["2026-03-01", 4],
      ["2026-03-02", 1]
    ].map(([day, debits]) => ({
      invariant: "daily_cap_debits",
      user_id: null,
      detail: `app draw on ${day}: debits through its capped keys ${debits}, in the ledger 0`
    }))
  ])
})
