import { expect, test } from "vitest"
import { Scope } from "../../../src/contract/scopes.ts"
import { database } from "../../support/database.ts"
import { badTexts, invalid } from "../../support/refusals.ts"
import { bytea, createKey, freshSecret } from "../../support/service-keys.ts"

const db = await database()

const now = new Date("2026-03-01T12:00:00Z")
const tomorrow = new Date("2026-03-02T12:00:00Z")

const args = (more: object = {}) => {
  const { prefix, hash } = freshSecret()
  return { appId: "chat", scopes: "{use}", prefix, hash, who: "Ada", now, ...more }
}

test("keeps a key by its hash and shows everything but that", async () => {
  const request = args({ scopes: "{reserve,use,use}", dailyCap: 5000, expiresAt: tomorrow, who: " Ada\n" })
  const [key] = await db.rows("ops.create_service_key", request, "mana_ops")
  expect(key).toEqual({
    id: expect.any(String),
    prefix: request.prefix,
    app_id: "chat",
    scopes: ["use", "reserve"],
    status: "active",
    daily_cap: 5000,
    spent_today: 0,
    created_at: now,
    created_by: "Ada",
    expires_at: tomorrow,
    revoked_at: null,
    revoked_by: null,
    replaced_by: null,
    last_used_at: null
  })
  const [row] = await db.query("select encode(hash, 'hex') as hash from credits.service_keys where id = $1", [key.id])
  expect(`\\x${row.hash}`).toBe(request.hash)
})

test("has no cap and no end unless told", async () => {
  const [key] = await db.rows("ops.create_service_key", args(), "mana_ops")
  expect(key).toMatchObject({ daily_cap: null, spent_today: null, expires_at: null })
})

test("takes an app of 64 characters, the longest that a header may name", async () => {
  const appId = "x".repeat(64)
  expect(await db.rows("ops.create_service_key", args({ appId }), "mana_ops")).toMatchObject([{ app_id: appId }])
})

test("knows the scopes that the contract knows", async () => {
  const { key } = await createKey(db, { scopes: Scope.literals })
  expect(key.scopes).toEqual(Scope.literals)
  const refusal = await db.refused("ops.create_service_key", args({ scopes: "{use,everything}" }), "mana_ops")
  expect(refusal).toEqual(invalid("scopes"))
  expect(refusal.message).toBe(`scopes must be one or more of ${Scope.literals.join(", ")}`)
})

test.each([
  ["no scope", { scopes: "{}" }, "scopes"],
  ["null for scopes", { scopes: null }, "scopes"],
  ["null for a scope", { scopes: "{use,null}" }, "scopes"],
  ["no app", { appId: null }, "appId"],
  ["an empty app", { appId: "" }, "appId"],
  ["an app that can't be a header", { appId: "chät" }, "appId"],
  ["an app with a blank at its end", { appId: "chat " }, "appId"],
  ["an app of 65 characters", { appId: "x".repeat(65) }, "appId"],
  ["a cap of nothing", { dailyCap: 0 }, "dailyCap"],
  ["a cap below nothing", { dailyCap: -1 }, "dailyCap"],
  ["an expiry now", { expiresAt: now }, "expiresAt"],
  ["no prefix", { prefix: null }, "prefix"],
  ["a prefix of another form", { prefix: "ABCDEFGH" }, "prefix"],
  ["no hash", { hash: null }, "hash"],
  ["a hash that is none", { hash: bytea(Buffer.from("secret")) }, "hash"]
])("refuses %s (CR001)", async (_what, more, path) => {
  expect(await db.refused("ops.create_service_key", args(more), "mana_ops")).toEqual(invalid(path))
})

test.each([...badTexts(128), { what: "blank", text: " \n" }])(
  "refuses a signature that is $what (CR001)",
  async ({ text }) => {
    expect(await db.refused("ops.create_service_key", args({ who: text }), "mana_ops")).toEqual(invalid("who"))
  }
)

test("refuses a secret that is taken, and a prefix (CR001)", async () => {
  const { hash, prefix } = await createKey(db)
  expect(await db.refused("ops.create_service_key", args({ hash }), "mana_ops")).toEqual(invalid("prefix"))
  expect(await db.refused("ops.create_service_key", args({ prefix }), "mana_ops")).toEqual(invalid("prefix"))
})

test("isn't for the service: whoever breaks in there makes no keys", async () => {
  expect(await db.refused("ops.create_service_key", args())).toMatchObject({ sqlstate: "42501" })
})
