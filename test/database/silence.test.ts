import { randomUUID } from "node:crypto"
import * as fs from "node:fs/promises"
import { Effect, Result, Schema } from "effect"
import { expect, onTestFinished, test } from "vitest"
import { call } from "../../src/database/call.ts"
import { defaultLimits, make } from "../../src/debits/batcher.ts"
import { database } from "../support/database.ts"
import { servicePool } from "../support/pool.ts"
import { session } from "../support/session.ts"
import { eventually } from "../support/wait.ts"

const db = await database()

const application = `silence ${randomUUID()}`
const statementTimeout = 300
const networkTime = 200
/** What a busy machine may add. */
const leeway = 2000

/** Connections as the service has them, with less patience. */
const context = await servicePool(db, {
  ...{ applicationName: application, maxConnections: 5, statementTimeout, networkTime, connectTimeout: "2 seconds" }
})

const backends = async (condition: string): Promise<ReadonlyArray<number>> => {
  const rows = await db.query(
    `select pid from pg_stat_activity where application_name = $1 and (${condition}) order by pid`,
    [application]
  )
  return rows.map(({ pid }) => pid)
}

/** Statements that wait for this user's balance, at processes that stand still: nobody ends them, and nobody answers. */
const stoppedWhileAsked = async (userId: string, count: number) => {
  const pids = await eventually(
    () => backends("wait_event_type = 'Lock'"),
    ({ length }) => length === count
  )
  const standing = [...pids]
  const go = () => {
    for (const pid of standing.splice(0)) process.kill(pid, "SIGCONT")
  }
  onTestFinished(go)
  for (const pid of pids) process.kill(pid, "SIGSTOP")
  return { go, pids, userId }
}

const holding = async (userId: string) => {
  const holder = await session(db)
  await holder.query("begin")
  await holder.call("credits.use", { userId, amount: 1, appId: "chat", description: "holds the lock" })
  return { release: () => holder.query("rollback") }
}

const use = (userId: string, idempotencyKey: string) =>
  Effect.runPromise(
    Effect.result(
      call(
        "credits.use",
        Schema.Unknown,
        { userId, amount: 1, appId: "chat", description: "test", idempotencyKey, caller: "service:test" },
        { keyed: true }
      ).pipe(Effect.provide(context))
    )
  )

const failureOf = <A, E>(result: Result.Result<A, E>) => (Result.isFailure(result) ? result.failure : undefined)

const usual = { appId: "chat", description: "test", amount: 1, caller: "service:test" }

test("a server that falls silent in the middle of a statement is given up, and its connection with it", async () => {
  const userId = await db.userWith(10)
  const holder = await holding(userId)
  const since = performance.now()
  const asked = use(userId, "one")
  const stopped = await stoppedWhileAsked(userId, 1)
  expect(failureOf(await asked)).toMatchObject({ _tag: "Unavailable" })
  // Asked once: a second time would be as long again.
  expect(performance.now() - since).toBeLessThan(statementTimeout + networkTime + leeway)

  await holder.release()
  expect(await use(userId, "two")).toMatchObject({ _tag: "Success" })
  // The silent one isn't used again.
  const others = await backends("true")
  expect(others.filter((pid) => !stopped.pids.includes(pid)).length).toBe(1)
  stopped.go()
  await eventually(
    () => backends("true"),
    (left) => !left.some((pid) => stopped.pids.includes(pid))
  )
})

test("debits that travel together with a silent server are told in time, keyed or not", async () => {
  const { use: together } = await Effect.runPromise(
    Effect.provide(
      make({ ...defaultLimits, maxCallsInFlight: 1, eagerBatchItems: 100, slotTimeoutMs: 60_000 }),
      context
    )
  )
  const userId = await db.userWith(10)
  const holder = await holding(userId)
  const run = (idempotencyKey?: string) =>
    Effect.runPromise(Effect.result(together({ ...usual, userId, idempotencyKey })))
  // The first fails when its own time is over; then the others go, in one call.
  const first = run()
  await eventually(
    () => backends("wait_event_type = 'Lock'"),
    ({ length }) => length === 1
  )
  const others = [run("a"), run("b"), run()]
  expect(await first).toMatchObject({ _tag: "Failure" })
  const since = performance.now()
  const stopped = await stoppedWhileAsked(userId, 1)
  for (const outcome of await Promise.all(others)) {
    expect(failureOf(outcome)).toMatchObject({ _tag: "Unavailable" })
  }
  expect(performance.now() - since).toBeLessThan(statementTimeout + networkTime + leeway)
  await holder.release()
  stopped.go()
})

/** Hundredths of a second until the system asks whether the other end is still there, by the port of this end. */
const keepAliveTimers = async () => {
  const table = await fs.readFile("/proc/net/tcp", "utf8")
  // `1: local remote state queues timer:when …`, in hexadecimal; timer 2 is the one that keeps alive.
  const rows = [...table.matchAll(/^\s*\d+: \w+:(\w+) \S+ \S+ \S+ 02:(\w+)/gm)]
  return new Map(rows.map(([, port = "", when = ""]) => [Number.parseInt(port, 16), Number.parseInt(when, 16)]))
}

// Only Linux tells.
test.skipIf(process.platform !== "linux")(
  "a connection asks every half minute whether the server's machine is there",
  async () => {
    const userId = await db.userWith(10)
    expect(await use(userId, "one")).toMatchObject({ _tag: "Success" })
    const [row] = await db.query("select client_port from pg_stat_activity where application_name = $1", [application])
    const left = await eventually(
      async () => (await keepAliveTimers()).get(row.client_port),
      (when) => when !== undefined
    )
    expect(left).toBeLessThanOrEqual(3000)
  }
)
