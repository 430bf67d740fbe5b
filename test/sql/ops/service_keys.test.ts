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

test("shows nothing of a secret", async () => {
  const { secret, hash } = await createKey(db, { now })
  const text = JSON.stringify(await list(now))
  for (const part of [secret, secret.slice(-43), hash.slice(2)]) expect(text).not.toContain(part)
})
