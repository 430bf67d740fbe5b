import { randomUUID } from "node:crypto"
import { describe, expect, test } from "vitest"
import { database } from "../support/database.ts"
import { subscribers } from "../sql/sync/subscribers.ts"
import { authService, failure, run, serviceKey, startService } from "./support.ts"

const db = await database()
const auth = await authService()
const service = await startService(db, auth)

const asUser = async (userId: string) => ({ authorization: `Bearer ${await auth.token(userId)}` })
const asAdmin = async () => ({ authorization: `Bearer ${await auth.token("admin-1", { role: "admin" })}` })
const asService = { "x-service-key": serviceKey, "x-app-id": "sync-server" }
const iso = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

const newUser = {
  active: false,
  interval: "monthly",
  nextChargeAt: null,
  pausedAt: null,
  paidUntil: null,
  gifted: false,
  price: 30,
  autoResume: false
}

describe("sync billing", () => {
  test("activate, change the interval, deactivate and activate again, through the contract's own client", async () => {
    const userId = await db.userWith(100)
    const client = await service.asUser(userId)
    expect(await run(client.sync.status())).toEqual(newUser)

    const activated = await run(client.sync.activate({ payload: {}, headers: {} }))
    expect(activated).toEqual({
      success: true,
      active: true,
      interval: "monthly",
      nextChargeAt: expect.stringMatching(iso),
      amountCharged: 30,
      autoResume: false
    })
    const { nextChargeAt } = activated
    expect(await run(client.sync.changeInterval({ payload: { interval: "quarterly", autoResume: true } }))).toEqual({
      success: true,
      interval: "quarterly",
      amountCharged: 90,
      effectiveAt: nextChargeAt,
      autoResume: true
    })
    expect(await run(client.sync.status())).toEqual({
      ...newUser,
      active: true,
      interval: "quarterly",
      nextChargeAt,
      paidUntil: nextChargeAt,
      price: 90,
      autoResume: true
    })
    expect(await run(client.sync.deactivate())).toEqual({ success: true, active: false, paidUntil: nextChargeAt })
    expect(await run(client.sync.activate({ payload: { interval: "yearly" }, headers: {} }))).toEqual({
      success: true,
      active: true,
      interval: "yearly",
      nextChargeAt,
      amountCharged: 0,
      autoResume: false
    })
    expect(await db.balanceRow(userId)).toMatchObject({ balance: 70 })
  })

  test("activate asks for no body", async () => {
    const userId = await db.userWith(30)
    const { status, json } = await service.request("POST", "/api/v1/sync/activate", { headers: await asUser(userId) })
    expect([status, json.amountCharged]).toEqual([200, 30])
  })

  test("a key charges once; the replay says so", async () => {
    const userId = await db.userWith(100)
    const headers = { ...(await asUser(userId)), "idempotency-key": "k-1" }
    const send = (body: object) => service.request("POST", "/api/v1/sync/activate", { headers, body })
    const first = await send({})
    const second = await send({ interval: "monthly" })
    expect(second.json).toEqual(first.json)
    expect([first, second].map((each) => each.headers.get("idempotency-replayed"))).toEqual([null, "true"])
    expect(await send({ interval: "yearly" })).toMatchObject({ status: 409, json: { code: "idempotency_key_reused" } })
    expect(await db.balanceRow(userId)).toMatchObject({ balance: 70 })
  })

  test("two at once: one is charged, one is told", async () => {
    const userId = await db.userWith(100)
    const headers = await asUser(userId)
    const answers = await Promise.all(
      [1, 2].map(() => service.request("POST", "/api/v1/sync/activate", { headers, body: {} }))
    )
    expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 409])
    expect(answers.find(({ status }) => status === 409)?.json).toMatchObject({
      code: "sync_already_active",
      nextChargeAt: expect.stringMatching(iso)
    })
    expect(await db.balanceRow(userId)).toMatchObject({ balance: 70 })
  })

  test("402 without the credits, 409 in the wrong state", async () => {
    const userId = await db.userWith(29)
    const client = await service.asUser(userId)
    const activate = client.sync.activate({ payload: {}, headers: {} })
    expect(await failure(activate)).toMatchObject({
      _tag: "insufficient_credits",
      status: 402,
      required: 30,
      available: 29
    })
    expect(await failure(client.sync.deactivate())).toMatchObject({ _tag: "sync_not_active", status: 409 })
    expect(await failure(client.sync.changeInterval({ payload: { interval: "yearly" } }))).toMatchObject({
      _tag: "sync_not_active"
    })
  })

  test.each([
    ["activate", "interval", "weekly", "must be one of monthly, quarterly, yearly"],
    ["activate", "autoResume", "yes", "must be true or false"],
    ["activate", "idempotencyKey", "", "must be 1 to 255 characters"],
    ["change-interval", "interval", undefined, "is missing"],
    ["change-interval", "interval", 3, "must be one of monthly, quarterly, yearly"],
    ["change-interval", "autoResume", 1, "must be true or false"]
  ])("%s names a field that breaks its rule: %s %s", async (path, field, value, message) => {
    const userId = await db.userWith(1000)
    const answer = await service.request("POST", `/api/v1/sync/${path}`, {
      headers: await asUser(userId),
      body: { interval: "monthly", [field]: value }
    })
    expect(answer).toMatchObject({
      status: 400,
      json: { code: "invalid_request", issues: [{ path: field, message: expect.stringContaining(message) }] }
    })
    expect(await db.balanceRow(userId)).toMatchObject({ version: 1 })
  })
})

describe("internal sync", () => {
  test("status of any user", async () => {
    const userId = await db.userWith(30)
    await db.call("sync.activate", { userId })
    const status = (of: string) => service.request("GET", `/api/v1/internal/sync/status/${of}`, { headers: asService })
    expect(await status(userId)).toMatchObject({ status: 200, json: { active: true, price: 30 } })
    expect((await status("nobody")).json).toEqual(newUser)
  })

  test("charge-recurring charges all that is due, in rounds, and says what it did", async () => {
    await subscribers(db, { count: 1500, credits: 60, dueAt: new Date(Date.now() - 1000), prefix: "rich-" })
    await subscribers(db, { count: 20, credits: 20, dueAt: new Date(Date.now() - 1000), prefix: "poor-" })
    const { status, json } = await service.request("POST", "/api/v1/internal/sync/charge-recurring", {
      headers: asService
    })
    expect(status).toBe(200)
    expect(json).toEqual({ charged: 1500, paused: 20, errors: 0, total: 1520 })
    const [row] = await db.query(
      "select distinct caller from credits.transactions where user_id like 'rich-%' and seq = 2"
    )
    expect(row).toEqual({ caller: "sync:service:sync-server" })
    const again = await service.request("POST", "/api/v1/internal/sync/charge-recurring", { headers: asService })
    expect(again.json).toEqual({ charged: 0, paused: 0, errors: 0, total: 0 })
  })

  test("is for services", async () => {
    for (const [method, path] of [
      ["GET", "status/u"],
      ["POST", "charge-recurring"]
    ] as const) {
      const answer = await service.request(method, `/api/v1/internal/sync/${path}`, { headers: await asAdmin() })
      expect(answer).toMatchObject({ status: 401, json: { code: "unauthorized" } })
    }
  })
})

describe("admin", () => {
  test("gives sync and takes it back; who did is kept; its owner can't change it meanwhile", async () => {
    const userId = `user-${randomUUID()}`
    const headers = await asAdmin()
    const path = `/api/v1/admin/sync/${userId}`
    expect((await service.request("GET", path, { headers })).json).toMatchObject({
      ...newUser,
      giftedBy: null,
      charges: []
    })

    const given = await service.request("POST", `${path}/gift`, { headers })
    expect(given).toMatchObject({
      status: 200,
      json: { success: true, active: true, gifted: true, giftedBy: "admin-1" }
    })
    expect(given.json.giftedAt).toMatch(iso)

    const owner = await service.asUser(userId)
    expect(await run(owner.sync.status())).toEqual({ ...newUser, active: true, gifted: true })
    const sync = "/api/v1/sync"
    for (const call of ["activate", "deactivate", "change-interval"]) {
      const refused = await service.request("POST", `${sync}/${call}`, {
        headers: await asUser(userId),
        body: { interval: "yearly" }
      })
      expect(refused).toMatchObject({ status: 409, json: { code: "sync_gifted", giftedAt: given.json.giftedAt } })
    }

    const revoked = await service.request("DELETE", `${path}/gift`, { headers })
    expect(revoked).toMatchObject({ status: 200, json: { success: true, active: false, giftRevokedBy: "admin-1" } })
    expect(await service.request("DELETE", `${path}/gift`, { headers })).toMatchObject({
      status: 404,
      json: { code: "sync_gift_not_found", userId }
    })
  })

  test("shows what a user was charged", async () => {
    const userId = await db.userWith(30)
    await db.call("sync.activate", { userId })
    const { json } = await service.request("GET", `/api/v1/admin/sync/${userId}`, { headers: await asAdmin() })
    expect(json).toMatchObject({ status: "active", charges: [{ credits: 30, interval: "monthly" }] })
  })

  test("is for administrators", async () => {
    const userId = await db.userWith(0)
    for (const [method, path] of [
      ["GET", ""],
      ["POST", "/gift"],
      ["DELETE", "/gift"]
    ] as const) {
      const url = `/api/v1/admin/sync/${userId}${path}`
      const asked = async (headers: Record<string, string>) => {
        const { status, json } = await service.request(method, url, { headers })
        return [status, json.code]
      }
      expect(await asked(await asUser(userId))).toEqual([403, "forbidden"])
      expect(await asked(asService)).toEqual([401, "unauthorized"])
    }
    expect(await db.call("sync.status", { userId })).toMatchObject({ gifted: false })
  })
})
