/** PostgreSQL as a machine runs it: killed whole, stopped, and started again as a supervisor would. */
import { execFile } from "node:child_process"
import * as fs from "node:fs/promises"
import { promisify } from "node:util"
import { Effect, Exit, Scope } from "effect"
import { type EmbeddedPostgres, embeddedPostgres } from "../../src/database/embedded.ts"
import { stablePort } from "./ports.ts"
import { sleep, until } from "./wait.ts"

/** Pairs of process and parent, of every process. */
const processes = async (): Promise<ReadonlyArray<readonly [number, number]>> => {
  if (process.platform !== "linux") {
    const { stdout } = await promisify(execFile)("ps", ["-A", "-o", "pid=,ppid="])
    return stdout
      .trim()
      .split("\n")
      .map((line) => line.trim().split(/\s+/).map(Number))
      .map(([pid = 0, parent = 0]) => [pid, parent] as const)
  }
  const pids = (await fs.readdir("/proc")).filter((entry) => /^\d+$/.test(entry))
  const found = await Promise.all(
    pids.map(async (pid) => {
      // `pid (name) state parent …`, the name may hold anything. Unreadable once the process has ended.
      const stat = await fs.readFile(`/proc/${pid}/stat`, "utf8").catch(() => "")
      const [, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
      return parent === undefined ? [] : [[Number(pid), Number(parent)] as const]
    })
  )
  return found.flat()
}

const signal = (pid: number, name: NodeJS.Signals) => {
  try {
    process.kill(pid, name)
  } catch {
    // It has ended by itself.
  }
}

export interface Postgres {
  readonly port: number
  /** A superuser's connection string. */
  readonly url: (database: string) => string
  /** Whether the server is there; it may have ended by itself. */
  readonly isAlive: () => boolean
  /** The server and its every process at once, as when the machine is pulled; answers how many those were. */
  readonly kill: () => Promise<number>
  /** Again on the same folder and port, crash recovery and all. Tries as long as a supervisor would. */
  readonly start: () => Promise<void>
  /** Once, after it has ended by itself. */
  readonly restart: () => Promise<void>
  /** Stops every process where it stands; `go` lets them go on. */
  readonly freeze: () => Promise<void>
  readonly go: () => Promise<void>
  readonly stop: () => Promise<void>
}

export interface PostgresOptions {
  readonly dataDir: string
  readonly settings?: ReadonlyArray<string>
}

export const startPostgres = async ({ dataDir, settings = [] }: PostgresOptions): Promise<Postgres> => {
  const port = await stablePort()
  let running: { readonly server: EmbeddedPostgres; readonly scope: Scope.Closeable } | undefined

  const startOnce = async () => {
    const scope = await Effect.runPromise(Scope.make())
    try {
      const server = await Effect.runPromise(
        embeddedPostgres({ dataDir, port, settings }).pipe(Effect.provideService(Scope.Scope, scope))
      )
      running = { server, scope }
    } catch (error) {
      await Effect.runPromise(Scope.close(scope, Exit.void))
      throw error
    }
  }
  await startOnce()
  const first = running
  if (first === undefined) throw new Error("PostgreSQL isn't there")

  /** The server's processes: its backends are groups of their own, so the group alone wouldn't do. */
  const group = async () => {
    const pid = running?.server.pid
    if (pid === undefined) return []
    return [pid, ...(await processes()).filter(([, parent]) => parent === pid).map(([child]) => child)]
  }

  const freeze = async () => {
    // The postmaster first: then nobody is born while we count.
    if (running !== undefined) signal(running.server.pid, "SIGSTOP")
    for (const pid of await group()) signal(pid, "SIGSTOP")
  }

  const end = async () => {
    const ended = running
    running = undefined
    if (ended !== undefined) await Effect.runPromise(Scope.close(ended.scope, Exit.void))
  }

  return {
    port,
    url: first.server.url,
    isAlive: () => {
      try {
        return running !== undefined && process.kill(running.server.pid, 0)
      } catch {
        return false
      }
    },
    kill: async () => {
      await freeze()
      const pids = await group()
      for (const pid of pids) signal(pid, "SIGKILL")
      const dead = new Set(pids)
      await until(
        "PostgreSQL is dead",
        async () => (await processes()).filter(([pid, parent]) => dead.has(pid) && parent === process.pid),
        (left) => left.length === 0
      )
      await end()
      return pids.length
    },
    start: async () => {
      for (let attempt = 1; ; attempt += 1) {
        try {
          return await startOnce()
        } catch (error) {
          if (attempt === 20) throw error
          await sleep(200)
        }
      }
    },
    restart: async () => {
      await end()
      await startOnce()
    },
    freeze,
    go: async () => {
      for (const pid of (await group()).toReversed()) signal(pid, "SIGCONT")
    },
    stop: end
  }
}
