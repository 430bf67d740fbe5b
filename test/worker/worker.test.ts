import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { database } from "../support/database.ts"
import { given } from "../support/gifts.ts"
import { eventually } from "../support/wait.ts"
import { runningWorker } from "./running.ts"

// One test damages the books on purpose.
const db = await database({ verify: false })

const worker = runningWorker(db)

const addJob = (task: string) =>
  Effect.promise(async () => {
    const [job] = await db.query("select id from graphile_worker.add_job($1, max_attempts => 3)", [task])
    return String(job.id)
  })

interface JobRow {
  readonly id: string
  readonly locked_by: string | null
  readonly attempts: number
}

const jobRow = async (id: string): Promise<JobRow | undefined> => {
  const [row] = await db.query("select id::text, locked_by, attempts from graphile_worker.jobs where id = $1", [id])
  return row
}

const job = (id: string, hoped: (row: JobRow | undefined) => boolean) =>
  Effect.promise(() => eventually(() => jobRow(id), hoped))

const done = (row: JobRow | undefined) => row === undefined
const taken = (row: JobRow | undefined) => typeof row?.locked_by === "string"

/** Until the scope closes nobody can read the ledger: a job that proves the books waits. */
const ledgerLocked = Effect.acquireRelease(
  Effect.promise(async () => {
    const client = await db.pool.connect()
    await client.query("begin; lock table credits.transactions in access exclusive mode")
    return client
  }),
  (client) =>
    Effect.promise(async () => {
      await client.query("rollback")
      client.release()
    })
)

const lockJob = (id: string, name: string) =>
  Effect.promise(() =>
    db.query("update graphile_worker._private_jobs set locked_by = $2, locked_at = now() where id = $1", [id, name])
  )

describe("the worker", () => {
  it.live("frees holds whose time is over", () =>
    Effect.gen(function* () {
      const userId = yield* Effect.promise(() => db.userWith(10))
      yield* Effect.promise(() =>
        db.call("credits.reserve", {
          userId,
          amount: 4,
          reason: "test",
          expiresInSeconds: 60,
          now: new Date(Date.now() - 3_600_000)
        })
      )
      const id = yield* addJob("expire_reservations")
      yield* worker
      yield* job(id, done)
      expect(yield* Effect.promise(() => db.balanceRow(userId))).toMatchObject({ balance: 10, held: 0 })
    })
  )

  it.live("returns the credits of gifts whose time is over", () =>
    Effect.gen(function* () {
      const now = new Date(Date.now() - 91 * 86_400_000)
      const { creatorId } = yield* Effect.promise(() => given(db, 10, { now }))
      const id = yield* addJob("expire_gifts")
      yield* worker
      yield* job(id, done)
      expect(yield* Effect.promise(() => db.balanceRow(creatorId))).toMatchObject({ balance: 10 })
    })
  )

  it.live("logs each broken invariant as an error", () =>
    Effect.gen(function* () {
      const userId = yield* Effect.promise(() => db.userWith(10))
      yield* Effect.promise(() =>
        db.query("update credits.balances set balance = 11, total_earned = 11 where user_id = $1", [userId])
      )
      const { lines } = yield* worker
      yield* job(yield* addJob("verify_books"), done)
      yield* Effect.promise(() =>
        db.query("update credits.balances set balance = 10, total_earned = 10 where user_id = $1", [userId])
      )
      expect(lines.filter((line) => line.includes("level=ERROR") && line.includes(userId))).not.toEqual([])
    })
  )

  it.live("seals history, and logs the digest by which it can be checked", () =>
    Effect.gen(function* () {
      yield* Effect.promise(() => db.userWith(10))
      const { lines } = yield* worker
      yield* job(yield* addJob("seal_books"), done)
      const [, digest] = /message="Sealed history".* digest=([0-9a-f]{64})/.exec(lines.join("\n")) ?? []
      expect(yield* Effect.promise(() => db.query("select * from ops.verify_seal($1)", [digest]))).toEqual([])
    })
  )

  it.live("takes over the jobs of a dead worker, and leaves those of a live one", () =>
    Effect.gen(function* () {
      const orphan = yield* addJob("expire_reservations")
      const other = yield* addJob("expire_reservations")
      yield* lockJob(orphan, "pool-dead")
      yield* lockJob(other, "pool-alive")
      yield* Effect.acquireRelease(
        Effect.promise(async () => {
          const client = await db.pool.connect()
          await client.query("select pg_advisory_lock(hashtextextended('pool-alive', 0))")
          return client
        }),
        (client) => Effect.sync(() => client.release(true))
      )
      yield* worker
      yield* job(orphan, done)
      expect(yield* Effect.promise(() => jobRow(other))).toMatchObject({ locked_by: "pool-alive" })
      yield* Effect.promise(() => db.query("select graphile_worker.complete_jobs(array[$1::bigint])", [other]))
    })
  )

  it.live("keeps its jobs when another worker starts", () =>
    Effect.gen(function* () {
      yield* worker
      const id = yield* addJob("verify_books").pipe(
        Effect.tap((added) => Effect.andThen(job(added, taken), worker)),
        Effect.tap((added) =>
          Effect.map(
            Effect.promise(() => jobRow(added)),
            (row) => expect(row).toMatchObject({ attempts: 1 })
          )
        ),
        (held) => Effect.andThen(ledgerLocked, held),
        Effect.scoped
      )
      yield* job(id, done)
    })
  )

  it.live("stops in time, and leaves a job that can't end for later", () =>
    Effect.gen(function* () {
      const { stop, state } = yield* worker
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* ledgerLocked
          const id = yield* addJob("verify_books")
          yield* job(id, taken)
          yield* Effect.timeoutOrElse(stop, {
            duration: "5 seconds",
            orElse: () => Effect.fail(new Error("still stopping"))
          })
          expect(yield* Effect.promise(() => jobRow(id))).toMatchObject({ locked_by: null, attempts: 1 })
          yield* Effect.promise(() => db.query("select graphile_worker.complete_jobs(array[$1::bigint])", [id]))
        })
      )
      expect(yield* Effect.promise(state)).toBe("stopped")
    })
  )

  it.live("starts again when it loses the database", () =>
    Effect.gen(function* () {
      const { state } = yield* worker
      yield* Effect.promise(() =>
        db.query(`select pg_terminate_backend(pid) from pg_stat_activity
                  where datname = current_database() and application_name = 'mana-credits worker'`)
      )
      yield* Effect.promise(() => eventually(state, (now) => now === "stopped"))
      yield* Effect.promise(() => eventually(state, (now) => now === "running"))
      yield* job(yield* addJob("expire_reservations"), done)
    })
  )
})
