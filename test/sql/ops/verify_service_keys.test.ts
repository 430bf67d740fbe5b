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
  // Through another app's key, debits alone: all that its cap allows, and less than the holds of the first.
  const { id } = await createKey(db, { appId: "draw", dailyCap: 4, now })
  await db.call("credits.use", {
    ...{ userId, caller: "service:draw", serviceKeyId: id, now },
    ...{ amount: 4, appId: "draw", description: "one" }
  })
})

test("debits and what holds came to are counted", async () => {
  expect(await db.query("select spent from credits.service_key_days order by 1")).toEqual([{ spent: 4 }, { spent: 32 }])
})

const keyOf = (appId: string) => `(select id from credits.service_keys where app_id = '${appId}')`
const spent = (amount: number, appId = "chat") =>
  `update credits.service_key_days set spent = ${amount} where key_id = ${keyOf(appId)}`

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
