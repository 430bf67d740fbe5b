import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { capReached, invalid, nobodysId, noServiceKey, serviceKeyEnded } from "../../support/refusals.ts"
import { createKey, freshSecret } from "../../support/service-keys.ts"
import { session } from "../../support/session.ts"

const db = await database()

const now = new Date("2026-03-01T12:00:00Z")
const after = (hours: number) => new Date(now.getTime() + hours * 3_600_000)

const args = (key: string | null, more: object = {}) => {
  const { prefix, hash } = freshSecret()
  return { key, prefix, hash, who: "Grace", now, ...more }
}
const rotate = async (key: string, more: object = {}) => {
  const request = args(key, more)
  const [row] = await db.rows("ops.rotate_service_key", request, "mana_ops")
  return { key: row, hash: request.hash, prefix: request.prefix }
}
const refused = (key: string | null, more: object = {}) =>
  db.refused("ops.rotate_service_key", args(key, more), "mana_ops")

const status = async (hash: string, at: Date) => (await db.call("credits.service_key", { hash, now: at })).status
const listed = async (prefix: string) => {
  const rows = await db.rows("ops.service_keys", { now }, "mana_ops")
  return rows.find((row) => row.prefix === prefix)
}

test("makes a key of the same app, scopes and cap; the old one stays good for a day", async () => {
  const old = await createKey(db, { scopes: ["use", "reserve"], dailyCap: 100, now })
  const next = await rotate(old.prefix)
  expect(next.key).toMatchObject({
    prefix: next.prefix,
    app_id: "chat",
    scopes: ["use", "reserve"],
    daily_cap: 100,
    status: "active",
    created_by: "Grace",
    created_at: now,
    expires_at: null
  })
  expect(await listed(old.prefix)).toMatchObject({ expires_at: after(24), replaced_by: next.prefix })
  expect(await status(old.hash, after(23.999))).toBe("active")
  expect(await status(old.hash, after(24))).toBe("expired")
  expect(await status(next.hash, after(24))).toBe("active")
})

test("the overlap is as long as said, and no longer than the old one's life", async () => {
  const old = await createKey(db, { now })
  await rotate(old.id, { overlap: "0" })
  expect(await status(old.hash, now)).toBe("expired")
  const short = await createKey(db, { now, expiresAt: after(1) })
  await rotate(short.id, { overlap: "30 days" })
  expect(await status(short.hash, after(1))).toBe("expired")
})

test("leaves every other key as it is", async () => {
  const [old, other] = [await createKey(db, { now }), await createKey(db, { now })]
  await rotate(old.id, { overlap: "0" })
  expect(await status(other.hash, after(1000))).toBe("active")
})

test("where the old one had an expiry, the new one gets as long a life", async () => {
  const old = await createKey(db, { now: after(-10), expiresAt: after(20) })
  expect((await rotate(old.id)).key.expires_at).toEqual(after(30))
})

test("both use up one cap (CR403)", async () => {
  const old = await createKey(db, { dailyCap: 10, now })
  const next = await rotate(old.id)
  const userId = await db.userWith(100)
  const debit = { userId, appId: "chat", description: "one", caller: "service:chat", now }
  await db.call("credits.use", { ...debit, amount: 6, serviceKeyId: old.id })
  await db.call("credits.use", { ...debit, amount: 3, serviceKeyId: next.key.id })
  expect(await db.refused("credits.use", { ...debit, amount: 2, serviceKeyId: next.key.id })).toEqual(capReached(10, 9))
  expect(await db.refused("credits.use", { ...debit, amount: 2, serviceKeyId: old.id })).toEqual(capReached(10, 9))
  expect([await listed(old.prefix), await listed(next.prefix)]).toMatchObject([{ spent_today: 9 }, { spent_today: 9 }])
})

test("a key is rotated once; the next time it is the new one's turn (CR402)", async () => {
  const old = await createKey(db, { now })
  const next = await rotate(old.id)
  const refusal = await refused(old.prefix)
  expect(refusal).toEqual(serviceKeyEnded(old.prefix, "rotated"))
  expect(refusal.message).toContain(next.prefix)
  await rotate(next.prefix)
})

test("of two at the same time one rotates (CR402)", async () => {
  const old = await createKey(db, { now })
  const [one, two] = [await session(db, "mana_ops"), await session(db, "mana_ops")]
  await one.query("begin")
  await one.call("ops.rotate_service_key", args(old.id))
  const second = two.call("ops.rotate_service_key", args(old.id))
  await two.waitsFor(one)
  await one.query("commit")
  expect(await second).toEqual(serviceKeyEnded(old.prefix, "rotated"))
})

test("refuses a key that is revoked, or expired (CR402)", async () => {
  const gone = await createKey(db, { now })
  await db.rows("ops.revoke_service_key", { key: gone.prefix, who: "Ada", now }, "mana_ops")
  expect(await refused(gone.prefix)).toEqual(serviceKeyEnded(gone.prefix, "revoked"))
  const late = await createKey(db, { now, expiresAt: after(1) })
  expect(await refused(late.prefix, { now: after(1) })).toEqual(serviceKeyEnded(late.prefix, "expired"))
})

test("refuses a key that isn't there (CR401)", async () => {
  for (const name of ["nobodys0", nobodysId, null]) expect(await refused(name)).toEqual(noServiceKey)
})

test.each([
  ["no overlap", { overlap: null }, "overlap"],
  ["an overlap into the past", { overlap: "-1 second" }, "overlap"],
  ["an overlap beyond 30 days", { overlap: "30 days 1 second" }, "overlap"],
  ["nobody's signature", { who: "" }, "who"],
  ["no prefix", { prefix: null }, "prefix"],
  ["no hash", { hash: null }, "hash"]
])("refuses %s, and the old one lives on (CR001)", async (_what, more, path) => {
  const { id, hash } = await createKey(db, { now })
  expect(await refused(id, more)).toEqual(invalid(path))
  expect(await status(hash, after(1000))).toBe("active")
})

test("isn't for the service", async () => {
  const { id } = await createKey(db, { now })
  expect(await db.refused("ops.rotate_service_key", args(id))).toMatchObject({ sqlstate: "42501" })
})
