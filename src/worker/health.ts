/** Whether the worker does its work, for those who are asked how this process is. */
import { Context, Effect } from "effect"

export type WorkerState =
  /** This process works off the queue, and can. */
  | "running"
  /** It should, and doesn't: still starting, stopping, or cut off from the queue. */
  | "stopped"
  /** Not this process's work (RUN_WORKER=false). */
  | "elsewhere"

/** Where nobody says otherwise, the worker is somebody else's. */
export class WorkerHealth extends Context.Reference<WorkerHealth>()("mana/WorkerHealth", {
  defaultValue: (): { readonly state: Effect.Effect<WorkerState> } => ({ state: Effect.succeed("elsewhere") })
}) {}
