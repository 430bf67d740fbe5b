import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { createKey } from "../../support/service-keys.ts"

const db = await database()

const now = new Date("2026-03-01T23:00:00Z")
const nextDay = new Date("2026-03-02T00:00:00Z")

const list = (at: Date) => db.rows("ops.service_keys", { now: at }, "mana_readonly")

test("lists every key by app and age, with what it has spent since midnight UTC", async () => {
  const second = await createKey(db, { appId: "picture", now })
  const first = await createKey(db, { appId: "chat", dailyCap: 10, now, expiresAt: nextDay })
  await db.rows("ops.revoke_service_key", { key: second.id, who: "Ada", now }, "mana_ops")
  const userId = await db.userWith(10)
  await db.call("credits.use", {
    userId,
    amount: 4,
    appId: "chat",
    description: "one",
    caller: "service:chat",
    serviceKeyId: first.id,
    now
  })
  expect(await list(now)).toMatchObject([
    { prefix: first.prefix, app_id: "chat", status: "active", daily_cap: 10, spent_today: 4 },
    { prefix: second.prefix, app_id: "picture", status: "revoked", daily_cap: null, spent_today: null }
  ])
  expect(await list(nextDay)).toMatchObject([{ status: "expired", spent_today: 0 }, { status: "revoked" }])
})

test("by app, then by age, whatever place its row has; each with what it spent itself", async () => {
  const old = await createKey(db, { appId: "web", dailyCap: 10, now })
  const young = await createKey(db, { appId: "web", dailyCap: 10, now })
  const audio = await createKey(db, { appId: "audio", dailyCap: 10, now })
  await db.query("update credits.service_keys set app_id = app_id where id = $1", [old.id])
  const userId = await db.userWith(10)
  for (const [appId, amount, { id }] of [
    ["web", 2, old],
    ["audio", 3, audio]
  ] as const) {
    const through = { caller: `service:${appId}`, serviceKeyId: id, now }
    await db.call("credits.use", { userId, amount, appId, description: "one", ...through })
  }
  const ours = new Map([old, young, audio].map(({ prefix }) => [prefix, true]))
  const rows: ReadonlyArray<{ readonly prefix: string; readonly spent_today: number }> = await list(now)
  expect(rows.filter(({ prefix }) => ours.has(prefix)).map((row) => [row.prefix, row.spent_today])).toEqual([
    [audio.prefix, 3],
    [old.prefix, 2],
    [young.prefix, 0]
  ])
})

test("shows nothing of a secret", async () => {
  const { secret, hash } = await createKey(db, { now })
  const text = JSON.stringify(await list(now))
  for (const part of [secret, secret.slice(-43), hash.slice(2)]) expect(text).not.toContain(part)
})
