import { randomUUID } from "node:crypto"
import { HttpApi } from "effect/http-api"
import { Context, Option } from "effect"
import { describe, expect, onTestFinished, test } from "vitest"
import { makeSecret } from "../../src/auth/service-keys.ts"
import { Api } from "../../src/contract/api.ts"
import { ServiceAuth } from "../../src/contract/auth.ts"
import { openApi } from "../../src/contract/openapi.ts"
import { NeedsScope, Scope } from "../../src/contract/scopes.ts"
import { database } from "../support/database.ts"
import { nobodysId } from "../support/refusals.ts"
import { createKey, freshSecret } from "../support/service-keys.ts"
import { authService, serviceKey, startService } from "./support.ts"

const db = await database()
const auth = await authService()
const service = await startService(db, auth)

type Service = typeof service

const base = "/api/v1/internal/credits"
const post = (
  secret: string,
  path: string,
  body: object,
  headers: Readonly<Record<string, string>> = {},
  at = service
) => at.request("POST", `${base}/${path}`, { headers: { "x-service-key": secret, ...headers }, body })
const balance = (secret: string, at: Service = service) =>
  at.request("GET", `${base}/balance/somebody`, { headers: { "x-service-key": secret } })

const debit = { appId: "chat", description: "One answer" }

const revoke = (prefix: string) => db.rows("ops.revoke_service_key", { key: prefix, who: "Ada" }, "mana_ops")

interface Endpoint {
  readonly method: string
  readonly path: string
  readonly scope: Scope
}

const endpoints: Array<Endpoint> = []
const scopeless: Array<string> = []
HttpApi.reflect(Api, {
  onGroup: () => undefined,
  onEndpoint: ({ endpoint, middleware }) => {
    const { method, path } = endpoint
    const scope = Context.getOption(endpoint.annotations, NeedsScope)
    if (Option.isSome(scope)) endpoints.push({ method, path, scope: scope.value })
    else if ([...middleware].some(({ key }) => key === ServiceAuth.key)) scopeless.push(path)
  }
})

/** What each route has always been asked with; whoever is let in gets past this, whatever it comes to. */
const bodies: Readonly<Record<string, () => object>> = {
  [`${base}/use`]: () => ({ ...debit, userId: "somebody", amount: 1 }),
  [`${base}/use-batch`]: () => ({ items: [{ ...debit, userId: "somebody", amount: 1 }] }),
  [`${base}/refund`]: () => ({ userId: "somebody", amount: 1, description: "Sorry" }),
  [`${base}/grant`]: () => ({ userId: "somebody", amount: 1, reason: "test", referenceId: randomUUID() }),
  [`${base}/init`]: () => ({ userId: "somebody" }),
  [`${base}/reserve`]: () => ({ userId: "somebody", amount: 1, reason: "test" }),
  [`${base}/commit`]: () => ({ reservationId: nobodysId }),
  [`${base}/refund-reservation`]: () => ({ reservationId: nobodysId }),
  "/api/v1/internal/gifts/redeem-pending": () => ({ userId: "somebody", email: "somebody@example.com" })
}

const send = ({ method, path }: Endpoint, secret: string) => {
  const body = bodies[path]?.()
  return service.request(method, path.replace(":userId", "somebody"), {
    headers: { "x-service-key": secret },
    ...(body === undefined ? {} : { body })
  })
}

describe("scopes", () => {
  test("all twelve routes for services name one, and the document says which", () => {
    expect(scopeless).toEqual([])
    expect(endpoints).toHaveLength(12)
    for (const { method, path, scope } of endpoints) {
      const operation = openApi.paths[path.replace(":userId", "{userId}")]?.[method.toLowerCase()]
      expect(operation?.security, path).toEqual([{ serviceKey: [scope] }])
    }
  })

  test.each(endpoints)("$method $path takes a key with $scope", async (endpoint) => {
    const { secret } = await createKey(db, { scopes: [endpoint.scope] })
    const { status, json } = await send(endpoint, secret)
    expect([200, 402, 404], JSON.stringify(json)).toContain(status)
  })

  test.each(endpoints)(
    "$method $path refuses one with every scope but $scope, and nothing is written",
    async (endpoint) => {
      const { secret } = await createKey(db, { scopes: Scope.literals.filter((each) => each !== endpoint.scope) })
      // Notes the key's use, once.
      await send(endpoint, secret)
      const before = await db.books()
      const { status, json } = await send(endpoint, secret)
      expect({ status, json }).toMatchObject({ status: 403, json: { code: "forbidden" } })
      expect(json.detail).toContain(`the scope ${endpoint.scope};`)
      expect(await db.books()).toEqual(before)
    }
  )

  test("one that is missing says nothing of whether the request is well-formed", async () => {
    const { secret } = await createKey(db, { scopes: ["read"] })
    expect((await post(secret, "use", {})).status).toBe(403)
  })
})

describe("the key of an app", () => {
  test("names the caller, whatever the debit is for", async () => {
    const { secret } = await createKey(db, { appId: "chat" })
    const userId = await db.userWith(10)
    const { json } = await post(secret, "use", { ...debit, appId: "picture", userId, amount: 1 })
    const rows = await db.query("select caller, app_id from credits.transactions where id = $1", [json.transaction.id])
    expect(rows).toEqual([{ caller: "service:chat", app_id: "picture" }])
    const held = await post(secret, "reserve", { userId, amount: 1, reason: "test" })
    const holds = await db.query("select caller, app_id from credits.reservations where id = $1", [
      held.json.reservationId
    ])
    expect(holds).toEqual([{ caller: "service:chat", app_id: "chat" }])
    expect((await post(secret, "init", { userId }, { "x-app-id": "chat" })).status).toBe(200)
  })

  test("isn't another app's: an X-App-Id that says so is refused, and nothing is written", async () => {
    const { secret } = await createKey(db, { appId: "chat" })
    const userId = await db.userWith(10)
    await balance(secret)
    const before = await db.books()
    const answer = await post(secret, "use", { ...debit, userId, amount: 1 }, { "x-app-id": "picture" })
    expect(answer).toMatchObject({ status: 403, json: { code: "forbidden" } })
    expect(await db.books()).toEqual(before)
  })

  test("closes its own app's holds; another's look like none, a key of the environment's any", async () => {
    const [chat, picture] = [await createKey(db, { appId: "chat" }), await createKey(db, { appId: "picture" })]
    const userId = await db.userWith(100)
    const hold = async (secret: string, headers = {}) =>
      (await post(secret, "reserve", { userId, amount: 1, reason: "test" }, headers)).json.reservationId
    const reservationId = await hold(chat.secret)
    for (const path of ["commit", "refund-reservation"]) {
      const foreign = await post(picture.secret, path, { reservationId })
      const none = await post(picture.secret, path, { reservationId: nobodysId })
      expect(foreign.status).toBe(404)
      expect(foreign.json).toEqual({ ...none.json, reservationId })
    }
    expect((await post(chat.secret, "commit", { reservationId })).status).toBe(200)
    // Closed or not, it isn't theirs to know.
    expect((await post(picture.secret, "commit", { reservationId })).status).toBe(404)

    const byHouse = await hold(serviceKey, { "x-app-id": "chat" })
    expect((await post(chat.secret, "refund-reservation", { reservationId: byHouse })).status).toBe(200)
    const another = await hold(chat.secret)
    expect((await post(serviceKey, "commit", { reservationId: another })).status).toBe(200)
    const nameless = await hold(serviceKey)
    expect((await post(chat.secret, "commit", { reservationId: nameless })).status).toBe(404)
  })

  test("is in the log by its app, and nowhere by its secret", async () => {
    const { secret } = await createKey(db, { appId: "logged" })
    await balance(secret)
    await revoke((await createKey(db)).prefix)
    const lines = service.lines.join("\n")
    expect(lines).toContain('"caller":"service:logged"')
    expect(lines).not.toContain(secret)
    expect(lines).not.toContain(secret.slice(-43))
  })
})

describe("a daily cap", () => {
  const spent = async (id: string) => {
    const [row] = await db.query("select spent from credits.service_key_days where key_id = $1", [id])
    return row.spent
  }
  const untilMidnight = () => {
    const now = new Date()
    return Math.ceil((Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate() + 1) - now.getTime()) / 1000)
  }

  test("64 debits at once: exactly the cap is spent, and the others are told until when to wait", async () => {
    const { secret, id } = await createKey(db, { dailyCap: 40 })
    const userIds = await Promise.all(Array.from({ length: 64 }, () => db.userWith(10)))
    const answers = await Promise.all(
      userIds.map((userId) => post(secret, "use", { ...debit, userId, amount: 1, idempotencyKey: "k" }))
    )
    const refused = answers.filter(({ status }) => status === 429)
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(40)
    expect(refused).toHaveLength(24)
    for (const { json, headers } of refused) {
      expect(json).toMatchObject({ code: "daily_cap_reached", cap: 40, spent: 40 })
      expect(headers.get("retry-after")).toBe(String(json.retryAfterSeconds))
      expect(Math.abs(json.retryAfterSeconds - untilMidnight())).toBeLessThan(60)
    }
    expect(await spent(id)).toBe(40)
    const rows = await db.query(
      "select sum(amount) from credits.transactions where user_id = any ($1) and type = 'usage'",
      [userIds]
    )
    expect(Number(rows[0].sum)).toBe(-40)
  })

  test("in a batch only the items beyond it are refused; what an item says of keys is its own", async () => {
    const { secret, id } = await createKey(db, { dailyCap: 5 })
    const other = await createKey(db, { dailyCap: 5 })
    const userId = await db.userWith(100)
    const items = [3, 3, 2].map((amount) => ({ ...debit, userId, amount, serviceKeyId: other.id }))
    const { status, json } = await post(secret, "use-batch", { items })
    expect(status).toBe(200)
    expect(json.results).toMatchObject([
      { ok: true },
      { ok: false, error: { status: 429, code: "daily_cap_reached", cap: 5, spent: 3 } },
      { ok: true }
    ])
    expect(await spent(id)).toBe(5)
  })

  test("holds count, and give back what they don't come to", async () => {
    const { secret, id } = await createKey(db, { dailyCap: 5 })
    const userId = await db.userWith(100)
    const hold = (amount: number) => post(secret, "reserve", { userId, amount, reason: "test" })
    const first = await hold(4)
    expect(await hold(2)).toMatchObject({ status: 429, json: { code: "daily_cap_reached", cap: 5, spent: 4 } })
    await post(secret, "commit", { reservationId: first.json.reservationId, amount: 1 })
    const second = await hold(4)
    expect(second.status).toBe(200)
    await post(secret, "refund-reservation", { reservationId: second.json.reservationId })
    expect(await spent(id)).toBe(1)
  })
})

describe("what is no key", () => {
  test.each([
    ["of nobody", () => makeSecret().secret],
    ["with a symbol more", async () => `${(await createKey(db)).secret}A`],
    ["with a symbol less", async () => (await createKey(db)).secret.slice(0, -1)],
    ["with another prefix", async () => (await createKey(db)).secret.replace(/^mana_.{8}/, "mana_00000000")],
    ["that is a prefix", async () => (await createKey(db)).prefix],
    ["that is a hash", async () => (await createKey(db)).hash],
    ["in upper case", async () => (await createKey(db)).secret.toUpperCase()]
  ])("one %s is refused", async (_what, make) => {
    expect(await balance(await make())).toMatchObject({ status: 401, json: { code: "unauthorized" } })
  })

  test("revoked and expired ones are told so", async () => {
    const revoked = await createKey(db)
    await revoke(revoked.prefix)
    expect(await balance(revoked.secret)).toMatchObject({
      status: 401,
      json: { detail: "This service key was revoked." }
    })
    const expired = await createKey(db, { now: new Date(0), expiresAt: new Date(1000) })
    expect(await balance(expired.secret)).toMatchObject({
      status: 401,
      json: { detail: "This service key has expired." }
    })
  })
})

describe("in every process", () => {
  /** Two of them whose clocks a test can move on. */
  const processes = async () => {
    const clock = { secondsAhead: 0 }
    const start = () => startService(db, auth, { clock })
    return { clock, services: [await start(), await start()] }
  }
  const statuses = async (services: ReadonlyArray<Service>, secret: string) => {
    const answers = await Promise.all(services.map((each) => balance(secret, each)))
    return answers.map(({ status }) => status)
  }

  test("a revoked key stops within 30 seconds", async () => {
    const { clock, services } = await processes()
    const { secret, prefix } = await createKey(db)
    expect(await statuses(services, secret)).toEqual([200, 200])
    await revoke(prefix)
    clock.secondsAhead = 30
    expect(await statuses(services, secret)).toEqual([401, 401])
  })

  test("the old key of a rotation goes on until the overlap ends, and the new one beside it", async () => {
    const { clock, services } = await processes()
    const old = await createKey(db)
    const { secret, prefix, hash } = freshSecret()
    const rotation = { key: old.prefix, prefix, hash, who: "Ada", overlap: "1 hour" }
    await db.rows("ops.rotate_service_key", rotation, "mana_ops")
    expect(await statuses(services, old.secret)).toEqual([200, 200])
    expect(await statuses(services, secret)).toEqual([200, 200])
    await db.query("update credits.service_keys set created_at = 'epoch', expires_at = now() where id = $1", [old.id])
    clock.secondsAhead = 30
    expect(await statuses(services, old.secret)).toEqual([401, 401])
    expect(await statuses(services, secret)).toEqual([200, 200])
  })

  test("a key is asked for once while its answer counts, and again afterwards", async () => {
    const { clock, services } = await processes()
    const { secret, id } = await createKey(db)
    const lookups = async () => {
      const [row] = await db.query("select last_used_at from credits.service_keys where id = $1", [id])
      return row.last_used_at
    }
    expect(await statuses([...services, ...services, ...services], secret)).toEqual(Array(6).fill(200))
    const first = await lookups()
    // Whoever asks again notes it again.
    await db.query("update credits.service_keys set last_used_at = last_used_at - interval '2 minutes'")
    clock.secondsAhead = 15
    expect(await statuses(services, secret)).toEqual([200, 200])
    expect(await lookups()).toEqual(new Date(first.getTime() - 120_000))
    clock.secondsAhead = 30
    expect(await statuses(services, secret)).toEqual([200, 200])
    expect((await lookups()).getTime()).toBeGreaterThanOrEqual(first.getTime())
  })

  test("with the database away nobody is told that their key is wrong, and a revoked one still stops", async () => {
    const { clock, services } = await processes()
    const { secret } = await createKey(db)
    expect(await statuses(services, secret)).toEqual([200, 200])
    // Nobody can read the table: lookups hang.
    const client = await db.pool.connect()
    onTestFinished(() => client.release())
    await client.query("begin")
    await client.query("lock table credits.service_keys in access exclusive mode")
    expect(await statuses(services, secret)).toEqual([200, 200])
    clock.secondsAhead = 30
    const hung = Promise.all(services.map((each) => balance(secret, each)))
    const stranger = Promise.all(services.map((each) => balance(makeSecret().secret, each)))
    for (const answer of [...(await hung), ...(await stranger)]) {
      expect(answer).toMatchObject({ status: 503, json: { code: "unavailable" } })
      expect(answer.headers.get("retry-after")).toBe("1")
    }
    // Keys of the environment ask nobody.
    expect(await statuses(services, serviceKey)).toEqual([200, 200])
    await client.query("rollback")
    expect(await statuses(services, secret)).toEqual([200, 200])
  })
})
