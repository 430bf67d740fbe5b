/** One worker's life on the queue, from its start to its stop or to the loss of its database. */
import { EventEmitter } from "node:events"
import { Cause, type Context, Data, Deferred, Effect, Record } from "effect"
import { Logger, run, type TaskList, type WorkerEvents, type WorkerPool } from "graphile-worker"
import type pg from "pg"
import { cron } from "./cron.ts"
import { withinTime } from "../lib/within-time.ts"
import { type Task, tasks, type TaskServices } from "./tasks.ts"

/** It ended without being told to; another one may start. */
export class WorkerStopped extends Data.TaggedError("WorkerStopped")<{ readonly cause: unknown }> {}

const stopped = (cause: unknown) => new WorkerStopped({ cause })

/** Jobs at a time. Each works on a connection of the SQL client's. */
export const concurrentJobs = 4

/**
 * The queue's own: one to listen on, one to be alive on, and the rest for the moments in which jobs are taken and put
 * away. The queue logs a warning where it has fewer than jobs.
 */
export const queueConnections = 4

/** After it began to stop, a job has this many milliseconds; then it is put back for later. */
const killAfter = 2000

const taskList = (context: Context.Context<TaskServices>): TaskList =>
  Record.map(
    tasks,
    (task: Task): TaskList[string] =>
      (_, { job }) =>
        Effect.runPromiseWith(context)(
          Effect.sandbox(task()).pipe(
            // The queue keeps the message with the job.
            Effect.mapError((cause) => new Error(Cause.pretty(cause))),
            Effect.annotateLogs({ task: job.task_identifier, job: job.id }),
            Effect.asVoid
          )
        )
  )

const logger = (context: Context.Context<TaskServices>) =>
  new Logger(() => (level, message) => {
    // A line for each job is for those who look for something.
    const log = { error: Effect.logError, warning: Effect.logWarning, info: Effect.logDebug, debug: Effect.logTrace }
    Effect.runForkWith(context)(log[level](message))
  })

/*
 * A worker that is killed leaves its jobs locked, by queue's rules for four hours. So each worker holds an advisory
 * lock named after it for as long as it lives: the name that nobody holds belongs to a dead one. The server lets go of
 * the lock when the connection ends; keep-alive probes end one whose machine is gone, within about a minute.
 * A worker names itself only when it is made, and takes jobs at once: nobody may look for dead ones until it has its
 * lock, so workers start one after the other.
 */
const startLock = "mana-credits worker: starting"
const lockByName = "select pg_advisory_lock(hashtextextended($1, 0))"
const unlockByName = "select pg_advisory_unlock(hashtextextended($1, 0))"
const probeClient = "set tcp_keepalives_idle = 30; set tcp_keepalives_interval = 10; set tcp_keepalives_count = 3"
const unlockJobsOfTheDead = `
  select graphile_worker.force_unlock_workers(array_agg(id))
  from (select distinct locked_by as id from graphile_worker.jobs where locked_by is not null offset 0) workers
  where pg_try_advisory_xact_lock(hashtextextended(id, 0))`

/**
 * Works off the queue until interrupted, which ends it in order: no further job, those at work finished or put back.
 * Fails when the worker stops by itself. `onRunning` runs once it takes jobs.
 */
export const workerSession = Effect.fnUntraced(function* (pool: pg.Pool, onRunning: Effect.Effect<void>) {
  const context = yield* Effect.context<TaskServices>()
  const ended = yield* Deferred.make<never, WorkerStopped>()

  const alive = yield* Effect.acquireRelease(
    Effect.tryPromise({ try: () => pool.connect(), catch: stopped }),
    // Not back to the pool: its locks end with it.
    (client) => Effect.sync(() => client.release(true))
  )
  const lost = (cause: unknown) => Deferred.doneUnsafe(ended, stopped(cause))
  alive.once("error", lost)
  alive.once("end", () => lost("The connection to the database ended"))
  const query = (text: string, values: ReadonlyArray<string> = []) =>
    Effect.tryPromise({ try: () => alive.query(text, [...values]), catch: stopped })

  yield* query(probeClient)
  yield* query(lockByName, [startLock])
  yield* query(unlockJobsOfTheDead)

  const events: WorkerEvents = new EventEmitter()
  const made: { pool?: WorkerPool } = {}
  events.once("pool:create", ({ workerPool }) => {
    made.pool = workerPool
  })
  // Stopped while its LISTEN is on the way, the library releases that connection twice, and the process dies of it.
  const listening = yield* Deferred.make<void>()
  let listenSettled = Promise.resolve()
  events.on("pool:listen:success", ({ client }) => {
    listenSettled = new Promise((resolve) => {
      client.once("drain", resolve)
      client.once("end", resolve)
    })
    void listenSettled.then(() => Deferred.doneUnsafe(listening, Effect.void))
  })
  yield* Effect.acquireRelease(
    Effect.tryPromise({
      try: async () => {
        const started = await run({
          pgPool: pool,
          taskList: taskList(context),
          parsedCronItems: cron,
          events,
          logger: logger(context),
          noHandleSignals: true,
          concurrency: concurrentJobs,
          preset: {
            worker: {
              // A job is taken when it is worked on: none waits in memory.
              localQueue: { size: -1 },
              // What became of it is written at once. Less than 0 would too, but then the library doesn't wait for
              // it at the end, and the process dies if the database is away just then.
              completeJobBatchDelay: 0,
              failJobBatchDelay: 0
            }
          }
        })
        started.promise.then(() => lost("The worker ended"), lost)
        return started
      },
      catch: stopped
    }),
    (started) =>
      Effect.promise(async () => {
        await withinTime(500, listenSettled)
        if (
          await withinTime(
            killAfter,
            started.stop().catch(() => started.promise)
          )
        )
          return
        // Jobs still running are put back. The runner's own kill() does nothing once it was told to stop.
        await withinTime(1000, Promise.resolve(made.pool?.forcefulShutdown("The worker stops")))
      })
  )
  yield* query(lockByName, [made.pool?.id ?? ""])
  yield* query(unlockByName, [startLock])

  yield* Effect.raceFirst(Deferred.await(listening), Deferred.await(ended))
  yield* onRunning
  return yield* Deferred.await(ended)
}, Effect.scoped)
