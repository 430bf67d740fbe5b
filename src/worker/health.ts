/** Whether the worker does its work, for those who are asked how this process is. */
import { Context, Effect } from "effect"

export type WorkerState =
  /** This process works off the queue, and can. */
  | "running"
  /** It should, and doesn't: still starting, stopping, or cut off from the queue. */
  | "stopped"
  /** Not this process's work (RUN_WORKER=false). */
  | "elsewhere"

/** The worker is another process's unless a layer says otherwise. */
export const WorkerHealth = Context.Reference<{ readonly state: Effect.Effect<WorkerState> }>("mana/WorkerHealth", {
  defaultValue: () => ({ state: Effect.succeed("elsewhere") })
})
