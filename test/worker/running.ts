/** A worker of a test's own, on its database, and the jobs it is given. */
import { Context, Effect, Exit, Layer, Logger, Scope } from "effect"
import { AppSettings } from "../../src/config.ts"
import { WorkerHealth } from "../../src/worker/health.ts"
import { layer } from "../../src/worker/worker.ts"
import type { TestDatabase } from "../support/database.ts"
import { settings } from "../support/settings.ts"
import { eventually } from "../support/wait.ts"

/** A running worker, its log lines, and its end before the test's. */
export const runningWorker = Effect.fnUntraced(function* (
  db: TestDatabase,
  environment: Readonly<Record<string, string>> = {}
) {
  const lines: Array<string> = []
  const scope = yield* Scope.make()
  const context = yield* Layer.buildWithScope(
    layer.pipe(
      Layer.provide(Layer.effect(AppSettings, settings({ DATABASE_URL: db.urlAs("mana_worker"), ...environment }))),
      Layer.provide(Logger.layer([Logger.map(Logger.formatLogFmt, (line) => lines.push(line))]))
    ),
    scope
  )
  const state = () => Effect.runPromise(Context.get(context, WorkerHealth).state)
  const stop = Scope.close(scope, Exit.void)
  yield* Effect.addFinalizer(() => stop)
  yield* Effect.promise(() => eventually(state, (now) => now === "running"))
  return { lines, state, stop }
})

/** Asks the queue for a task, and waits until it is done. */
export const runTask = (db: TestDatabase, task: string) =>
  Effect.promise(async () => {
    const [{ id }] = await db.query("select id from graphile_worker.add_job($1, max_attempts => 3)", [task])
    await eventually(
      () => db.query("select from graphile_worker.jobs where id = $1", [id]),
      (rows) => rows.length === 0
    )
  })
