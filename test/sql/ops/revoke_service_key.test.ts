import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { invalid, nobodysId, noServiceKey, serviceKeyEnded } from "../../support/refusals.ts"
import { createKey } from "../../support/service-keys.ts"

const db = await database()

const now = new Date("2026-03-01T12:00:00Z")
const later = new Date("2026-03-01T13:00:00Z")

const revoke = (key: string | null, more: object = {}) =>
  db.rows("ops.revoke_service_key", { key, who: "Grace", now: later, ...more }, "mana_ops")
const refused = (key: string | null, more: object = {}) =>
  db.refused("ops.revoke_service_key", { key, who: "Grace", now: later, ...more }, "mana_ops")

test.each(["prefix", "id"] as const)("ends a key named by its %s, and keeps who did it", async (name) => {
  const made = await createKey(db, { now })
  const [key] = await revoke(made[name])
  expect(key).toEqual({ ...made.key, status: "revoked", revoked_at: later, revoked_by: "Grace" })
})

test("says who revoked a key before (CR402)", async () => {
  const { prefix } = await createKey(db, { now })
  await revoke(prefix)
  const refusal = await refused(prefix, { who: "Ada" })
  expect(refusal).toEqual(serviceKeyEnded(prefix, "revoked"))
  expect(refusal.message).toBe("The service key was revoked already, by Grace on 2026-03-01T13:00:00.000Z.")
})

test("refuses a key that has expired (CR402)", async () => {
  const { prefix } = await createKey(db, { now, expiresAt: later })
  expect(await refused(prefix)).toEqual(serviceKeyEnded(prefix, "expired"))
})

test("refuses a key that isn't there, and repeats nothing of what it was given (CR401)", async () => {
  const { secret } = await createKey(db, { now })
  for (const name of ["nobodys0", nobodysId, "", null, secret]) {
    const refusal = await refused(name)
    expect(refusal).toEqual(noServiceKey)
    expect(refusal.message).not.toContain(secret)
  }
})

test("refuses nobody's signature (CR001), and the service", async () => {
  const { prefix } = await createKey(db, { now })
  expect(await refused(prefix, { who: " " })).toEqual(invalid("who"))
  expect(await db.refused("ops.revoke_service_key", { key: prefix, who: "x" })).toMatchObject({ sqlstate: "42501" })
})
