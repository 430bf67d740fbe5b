import { Effect, Exit, Layer, Redacted, Scope } from "effect"
import { afterAll, expect, onTestFinished, test } from "vitest"
import { type Limits, makeSecret, prefixOf, serviceKeys } from "../../src/auth/service-keys.ts"
import * as Database from "../../src/database/database.ts"
import { database } from "../support/database.ts"
import { createKey } from "../support/service-keys.ts"
import { eventually } from "../support/wait.ts"

const db = await database()

const scope = Effect.runSync(Scope.make())
afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

const small: Limits = { goodFor: 1000, badFor: 1000, patience: 1, kept: 20, atOnce: 2, waiting: 10 }

/** The judge as the service has it, on a smaller scale; what it says as text. */
const makeJudge = async () => {
  const context = await Effect.runPromise(
    Layer.buildWithScope(
      Database.layer({
        url: Redacted.make(db.urlAs("mana_service")),
        role: "mana_service",
        maxConnections: 10,
        applicationName: "test service keys",
        statementTimeout: "10 seconds",
        connectTimeout: "5 seconds"
      }),
      scope
    )
  )
  const judge = await Effect.runPromise(Effect.provide(serviceKeys([Redacted.make("root")], small), context))
  return async (presented: string) => {
    const said = Effect.match(
      judge(presented, () => false),
      {
        onFailure: ({ _tag }) => _tag,
        onSuccess: ({ status }) => status
      }
    )
    return await Effect.runPromise(said)
  }
}

/** Nobody can read the table of keys until this is undone: a lookup hangs. */
const lockedUp = async () => {
  const client = await db.pool.connect()
  onTestFinished(() => client.release())
  await client.query("begin")
  await client.query("lock table credits.service_keys in access exclusive mode")
  return () => client.query("rollback")
}

const lookupsAtOnce = async () => {
  const [row] = await db.query(
    `select count(*) from pg_stat_activity
     where datname = current_database() and application_name = 'test service keys' and wait_event_type = 'Lock'`
  )
  return row.count
}

test("a secret is 256 random bits behind a prefix, in a form that scanners find", () => {
  const made = Array.from({ length: 200 }, makeSecret)
  for (const { secret, prefix } of made) {
    expect(secret).toMatch(/^mana_[0-9a-z]{8}_[A-Za-z0-9_-]{43}$/)
    expect(prefixOf(secret)).toBe(prefix)
    expect(Buffer.from(secret.slice(-43), "base64url")).toHaveLength(32)
  }
  expect(new Set(made.map(({ secret }) => secret.slice(-43))).size).toBe(200)
  expect(prefixOf("mana_0000000_x")).toBeUndefined()
})

test("strangers take few connections, and push nobody out", async () => {
  const judge = await makeJudge()
  const { secret } = await createKey(db)
  expect(await judge(secret)).toBe("active")
  const wrong = Array.from({ length: 25 }, () => makeSecret().secret)
  for (const each of wrong) expect(await judge(each)).toBe("InvalidKey")
  const unlock = await lockedUp()
  // Those that are remembered need no lookup: the known one, and the latest of the wrong ones.
  expect(await judge(secret)).toBe("active")
  expect(await judge(wrong.at(-1) ?? "")).toBe("InvalidKey")
  expect(await judge("root")).toBe("root")
  // The first of the wrong ones is forgotten, and one of many strangers again: some wait, the rest are sent away.
  const said = Promise.all([judge(wrong[0] ?? ""), ...Array.from({ length: 30 }, () => judge(makeSecret().secret))])
  await eventually(lookupsAtOnce, (count) => count === 2)
  const counts = Map.groupBy(await said, (each) => each)
  expect(counts.get("Unavailable")).toHaveLength(10)
  expect(counts.get("Overloaded")).toHaveLength(21)
  expect(await lookupsAtOnce()).toBe(2)
  await unlock()
  expect(await judge((await createKey(db)).secret)).toBe("active")
})

test("many who show one key at once ask once", async () => {
  const judge = await makeJudge()
  const { secret } = await createKey(db)
  const unlock = await lockedUp()
  const said = Promise.all(Array.from({ length: 100 }, () => judge(secret)))
  await eventually(lookupsAtOnce, (count) => count === 1)
  await unlock()
  expect(new Set(await said)).toEqual(new Set(["active"]))
})
