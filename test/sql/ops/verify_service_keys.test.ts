import { beforeAll, expect, test } from "vitest"
import { found } from "../../support/damage.ts"
import { database } from "../../support/database.ts"
import { createKey } from "../../support/service-keys.ts"

const db = await database()
const now = new Date("2026-03-01T12:00:00Z")

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
})

test("debits and what holds came to are counted", async () => {
  expect(await db.query("select spent from credits.service_key_days")).toEqual([{ spent: 32 }])
})

const spent = (amount: number) => `update credits.service_key_days set spent = ${amount}`

test.each([
  ["nothing wrong", "select", []],
  ["less than went through the key, as far as can be told", spent(12), []],
  ["less than its holds came to", spent(11), ["daily_cap_holds"]],
  ["more than the ledger has of the app", spent(33), ["daily_cap_debits"]],
  ["more than the cap", spent(101), ["daily_cap", "daily_cap_debits"]],
  ["a count for a key without a cap", "update credits.service_keys set daily_cap = null", ["daily_cap"]]
])("%s", async (_what, damage, invariants) => {
  expect(await found(db, damage)).toEqual(invariants)
})
