import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Logger, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { afterAll, beforeEach } from "vitest"
import { AppSettings } from "../../src/config.ts"
import * as Database from "../../src/database/database.ts"
import { deliverEvents } from "../../src/worker/deliver-events.ts"
import { database } from "../support/database.ts"
import { settings } from "../support/settings.ts"
import { eventually } from "../support/wait.ts"
import { receiver } from "./receiver.ts"
import { runningWorker, runTask } from "./running.ts"

const db = await database()
const there = await receiver()
afterAll(there.close)

const emit = (userId: string, ...types: ReadonlyArray<string>) =>
  Effect.promise(async () => {
    for (const type of types) await db.query("select credits.emit($1, $2, '{\"credits\": 5}', now())", [userId, type])
  })

/** As if the time until the next try were over, and what a worker has claimed given up. */
const laterOn = Effect.promise(() => db.query("update credits.events set deliver_at = now() where deliver_at > now()"))

const deliver = Effect.andThen(laterOn, runTask(db, "deliver_events"))
const worker = runningWorker(db, there.environment)
const until = (hoped: () => boolean) => Effect.promise(() => eventually(async () => hoped(), Boolean))

const taken = () => there.taken.map(({ userId, type }) => `${userId} ${type}`)
const of = (userId: string) => there.taken.filter((event) => event.userId === userId).map(({ type }) => type)

const undelivered = Effect.promise(() =>
  db.query("select user_id, type, attempts, last_error from credits.events where delivered_at is null order by id")
)

beforeEach(async () => {
  await db.query("delete from credits.events")
  there.taken.length = 0
  there.tried.length = 0
  there.answers(() => 204)
})

describe("events", () => {
  it.live("arrive signed, each once, in order per user", () =>
    Effect.gen(function* () {
      yield* worker
      const userId = yield* Effect.promise(() => db.userWith(100))
      yield* Effect.promise(() => db.call("sync.activate", { userId }))
      yield* emit("ann", "a.one", "a.two", "a.three")
      yield* deliver
      yield* deliver
      expect(of("ann")).toEqual(["a.one", "a.two", "a.three"])
      expect(of(userId)).toEqual(["sync.activated", "sync.charged"])
      expect(there.taken).toHaveLength(5)
      const [event] = there.taken.filter(({ type }) => type === "sync.charged")
      const [row] = yield* Effect.promise(() =>
        db.query("select id, created_at from credits.events where type = 'sync.charged'")
      )
      expect(event).toEqual({
        id: `evt_${row.id}`,
        type: "sync.charged",
        timestamp: row.created_at.toISOString(),
        userId,
        data: expect.objectContaining({ userId, credits: 30, interval: "monthly" })
      })
      expect(yield* undelivered).toEqual([])
    })
  )

  it.live("wait for a receiver that is down, and arrive when it is back", () =>
    Effect.gen(function* () {
      const { lines } = yield* worker
      yield* emit("ann", "a.one", "a.two")
      yield* emit("bob", "b.one")
      yield* Effect.promise(there.goDown)
      yield* deliver
      expect(yield* undelivered).toMatchObject([
        { type: "a.one", attempts: 1, last_error: expect.stringContaining("ECONNREFUSED") },
        { type: "a.two", attempts: 0 },
        { type: "b.one", attempts: 1 }
      ])
      expect(lines.filter((line) => line.includes("not taken"))).not.toEqual([])
      yield* Effect.promise(there.comeBack)
      yield* deliver
      expect(of("ann")).toEqual(["a.one", "a.two"])
      expect(of("bob")).toEqual(["b.one"])
      expect(yield* undelivered).toEqual([])
    })
  )

  it.live("that are refused hold back only the same user's; a second try brings each once", () =>
    Effect.gen(function* () {
      yield* worker
      yield* emit("ann", "a.one", "a.two", "a.three")
      yield* emit("bob", "b.one", "b.two")
      there.answers(({ type }) => (type === "a.two" ? 500 : 200))
      yield* deliver
      expect(of("ann")).toEqual(["a.one"])
      expect(of("bob")).toEqual(["b.one", "b.two"])
      expect(yield* undelivered).toMatchObject([
        { type: "a.two", last_error: "HTTP 500" },
        { type: "a.three", attempts: 0 }
      ])
      there.answers(() => 200)
      yield* deliver
      expect(of("ann")).toEqual(["a.one", "a.two", "a.three"])
      expect(there.taken).toHaveLength(5)
      expect(there.tried.filter(({ type }) => type === "a.two").map(({ id }) => id)).toEqual([
        there.taken[3]?.id,
        there.taken[3]?.id
      ])
    })
  )

  it.live("a redirect isn't followed", () =>
    Effect.gen(function* () {
      yield* worker
      yield* emit("ann", "a.one")
      there.answers(() => 302)
      yield* deliver
      expect(yield* undelivered).toMatchObject([{ last_error: "HTTP 302" }])
      expect(there.tried).toHaveLength(1)
    })
  )

  it.live("a receiver that doesn't answer holds nothing else up", () =>
    Effect.gen(function* () {
      const { stop } = yield* worker
      yield* emit("ann", "a.one", "a.two")
      yield* emit("bob", "b.one")
      there.answers(({ userId }) => (userId === "ann" ? undefined : 200))
      yield* Effect.promise(() => db.query("select graphile_worker.add_job('deliver_events')"))
      yield* until(() => there.tried.length === 2)
      // The job waits for ann's answer. Another worker's run, and other work, go on.
      yield* emit("eve", "e.one")
      yield* runTask(db, "deliver_events")
      yield* runTask(db, "charge_sync")
      expect(taken().toSorted()).toEqual(["bob b.one", "eve e.one"])
      yield* stop

      yield* runningWorker(db, there.environment)
      there.answers(() => 200)
      yield* deliver
      expect(of("ann")).toEqual(["a.one", "a.two"])
      yield* Effect.promise(() =>
        db.query("select graphile_worker.complete_jobs(array_agg(id)) from graphile_worker.jobs where key is null")
      )
    })
  )

  it.effect("a receiver that takes longer than ten seconds is tried again later", () =>
    Effect.gen(function* () {
      yield* emit("ann", "a.one")
      there.answers(() => undefined)
      const run = yield* Effect.forkChild(deliverEvents)
      yield* until(() => there.tried.length === 1)
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(run)
      expect(yield* undelivered).toMatchObject([{ attempts: 1, last_error: "no answer within 10 seconds" }])
    }).pipe(
      Effect.provide(
        Layer.merge(
          Layer.effect(AppSettings, settings(there.environment)),
          Database.layer({
            url: Redacted.make(db.urlAs("mana_worker")),
            role: "mana_worker",
            maxConnections: 2,
            applicationName: "test deliver",
            statementTimeout: "10 seconds",
            connectTimeout: "5 seconds"
          })
        )
      ),
      Effect.provide(Logger.layer([])),
      // Before the pool is made: it looks once a minute for idle connections, and would do so for each minute since 1970.
      (delivered) => Effect.andThen(TestClock.setTime(Date.now()), delivered)
    )
  )

  it.live("stay where they are while nobody is named to be told", () =>
    Effect.gen(function* () {
      yield* runningWorker(db)
      yield* emit("ann", "a.one")
      yield* deliver
      expect(yield* undelivered).toMatchObject([{ type: "a.one", attempts: 0 }])
      expect(there.tried).toEqual([])
    })
  )
})
