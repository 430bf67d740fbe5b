import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { createKey, freshSecret } from "../../support/service-keys.ts"
import { session } from "../../support/session.ts"

const db = await database()

const now = new Date("2026-03-01T12:00:00Z")
const after = (seconds: number) => new Date(now.getTime() + seconds * 1000)

const lastUse = async (id: string) => {
  const [row] = await db.query("select last_used_at from credits.service_keys where id = $1", [id])
  return row.last_used_at
}

test("says what a key may do", async () => {
  const { hash, id } = await createKey(db, { appId: "chat", scopes: ["use", "read"], now })
  expect(await db.call("credits.service_key", { hash, now })).toEqual({
    status: "active",
    id,
    appId: "chat",
    scopes: ["read", "use"],
    isCapped: false
  })
  const capped = await createKey(db, { dailyCap: 1, now })
  expect(await db.call("credits.service_key", { hash: capped.hash, now })).toMatchObject({ isCapped: true })
})

test("knows no other hash, and writes nothing for one", async () => {
  const before = await db.books()
  expect(await db.call("credits.service_key", { hash: freshSecret().hash })).toEqual({ status: "unknown" })
  expect(await db.call("credits.service_key", { hash: "\\x" })).toEqual({ status: "unknown" })
  expect(await db.call("credits.service_key", { hash: null })).toEqual({ status: "unknown" })
  expect(await db.books()).toEqual(before)
})

test("says that a key is revoked, and no more, and notes no use", async () => {
  const { hash, id, prefix } = await createKey(db, { now })
  await db.rows("ops.revoke_service_key", { key: prefix, who: "Ada", now }, "mana_ops")
  expect(await db.call("credits.service_key", { hash, now })).toEqual({ status: "revoked" })
  expect(await lastUse(id)).toBeNull()
})

test("says that a key has expired, from the very moment on", async () => {
  const { hash } = await createKey(db, { now, expiresAt: after(60) })
  expect(await db.call("credits.service_key", { hash, now: after(59) })).toMatchObject({ status: "active" })
  expect(await db.call("credits.service_key", { hash, now: after(60) })).toEqual({ status: "expired" })
})

test("notes the use of that key, and of no other", async () => {
  const [used, unused] = [await createKey(db, { now }), await createKey(db, { now })]
  await db.call("credits.service_key", { hash: used.hash, now })
  expect(await lastUse(used.id)).toEqual(now)
  expect(await lastUse(unused.id)).toBeNull()
})

test("notes the use, at most once a minute", async () => {
  const { hash, id } = await createKey(db, { now })
  expect(await lastUse(id)).toBeNull()
  await db.call("credits.service_key", { hash, now })
  expect(await lastUse(id)).toEqual(now)
  const before = await db.books()
  await db.call("credits.service_key", { hash, now: after(59) })
  expect(await db.books()).toEqual(before)
  await db.call("credits.service_key", { hash, now: after(60) })
  expect(await lastUse(id)).toEqual(after(60))
})

test("waits for nobody who is changing the key, and says what was committed", async () => {
  const { hash, id } = await createKey(db, { now })
  const ops = await session(db, "mana_ops")
  await ops.query("begin")
  await ops.call("ops.revoke_service_key", { key: id, who: "Ada", now })
  const service = await session(db)
  await service.query("set lock_timeout = '1s'")
  expect(await service.call("credits.service_key", { hash, now })).toMatchObject({ status: "active" })
  await ops.query("commit")
  expect(await service.call("credits.service_key", { hash, now })).toEqual({ status: "revoked" })
})

test("isn't for people: who knows hashes could ask for all of them", async () => {
  const { hash } = await createKey(db, { now })
  for (const role of ["mana_ops", "mana_readonly"] as const) {
    expect(await db.refused("credits.service_key", { hash }, role)).toMatchObject({ sqlstate: "42501" })
  }
})
