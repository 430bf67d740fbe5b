/** Processes of a stage: started, killed whole, waited for. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../..", import.meta.url))
// Saves each start a part of its work.
const compileCache = fileURLToPath(new URL("../../node_modules/.cache/node-compile", import.meta.url))

export interface Running {
  readonly pid: number
  readonly isOver: () => boolean
  /** The exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>
  /** To the process and all that it started. */
  readonly kill: (signal: NodeJS.Signals) => void
}

export interface Start {
  readonly args: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
  /** Where its output goes, appended. */
  readonly log: string
}

/** Node on one of our files, with nothing of our environment but what the system needs. */
export const startNode = ({ args, env = {}, log }: Start): Running => {
  const output = fs.openSync(log, "a")
  const child: ChildProcess = spawn(process.execPath, [...args], {
    cwd: root,
    // A group of its own, which can be killed whole.
    detached: true,
    env: { PATH: process.env["PATH"], HOME: process.env["HOME"], NODE_COMPILE_CACHE: compileCache, ...env },
    stdio: ["ignore", output, output, "ipc"]
  })
  fs.closeSync(output)
  const pid = child.pid ?? 0
  const isOver = () => child.exitCode !== null || child.signalCode !== null
  return {
    pid,
    isOver,
    ended: once(child, "exit").then(() => child.exitCode ?? child.signalCode ?? 0),
    kill: (signal) => {
      if (!isOver()) process.kill(-pid, signal)
    }
  }
}
