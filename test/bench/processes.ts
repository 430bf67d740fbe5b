/** Processes of the benchmark: started, waited for, ended. */
import { type ChildProcess, execFile, spawn } from "node:child_process"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import * as fs from "node:fs/promises"
import * as net from "node:net"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { Effect, Schema } from "effect"
import { decodeMeasured, type Measured } from "./numbers.ts"
import type { Load } from "./load.ts"

/** This checkout. */
export const root = fileURLToPath(new URL("../..", import.meta.url))
const here = (file: string) => path.join(import.meta.dirname, file)
const startWithin = 60_000

export interface Running {
  readonly pid: number
  /** The line with which it said that it listens. */
  readonly line: string
  /** Milliseconds from its start until it said so. */
  readonly startMs: number
  readonly stop: () => Promise<void>
}

const stop = async (child: ChildProcess) => {
  if (child.exitCode !== null || child.signalCode !== null) return
  const end = once(child, "exit")
  child.kill("SIGTERM")
  await end
}

/** The environment of a checkout's process: as under npm, its own node_modules/.bin comes first, and so its own node. */
const environment = (checkout: string, env: Readonly<Record<string, string>> = {}) => ({
  PATH: [path.join(checkout, "node_modules/.bin"), path.dirname(process.execPath), process.env["PATH"] ?? ""].join(
    path.delimiter
  ),
  HOME: process.env["HOME"],
  ...env
})

/** A server in a process of its own, once it listens. Its errors go to our own stderr. */
const startServer = async (
  checkout: string,
  command: string,
  args: ReadonlyArray<string>,
  env: Readonly<Record<string, string>> = {}
): Promise<Running> => {
  const since = performance.now()
  const child = spawn(command, [...args], {
    cwd: checkout,
    env: environment(checkout, env),
    stdio: ["ignore", "pipe", "inherit"]
  })
  let output = ""
  const line = await new Promise<string>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`didn't listen in time: ${output}`)), startWithin)
    child.once("exit", () => reject(new Error(`it ended: ${output}`)))
    child.stdout.on("data", (chunk) => {
      if (output.includes('"listening"')) return
      output += String(chunk)
      if (!output.includes('"listening"')) return
      clearTimeout(timer)
      resolve(output)
    })
  })
  return { pid: child.pid ?? 0, line, startMs: performance.now() - since, stop: () => stop(child) }
}

/** A process that ends with the scope. */
export const started = <A extends { readonly stop: () => Promise<void> }>(start: () => Promise<A>) =>
  Effect.acquireRelease(Effect.promise(start), (running) => Effect.promise(running.stop))

export const startByHand = async (url: string) => {
  const running = await startServer(root, process.execPath, [here("by-hand.ts"), url])
  return { ...running, port: Number(running.line.trim().split(" ").at(-1)) }
}

const freePort = async () => {
  const server = net.createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  server.close()
  return typeof address === "object" && address !== null ? address.port : 0
}

const decodePackage = Schema.decodeUnknownSync(
  Schema.fromJsonString(Schema.Struct({ scripts: Schema.Struct({ start: Schema.String }) }))
)

/** `npm start` without npm, as in production but for the worker, which would be a process of its own. */
export const startService = async (url: string, key: string, nodeOptions: string, checkout = root) => {
  const { scripts } = decodePackage(readFileSync(path.join(checkout, "package.json"), "utf8"))
  const port = await freePort()
  const running = await startServer(checkout, "sh", ["-c", scripts.start], {
    NODE_OPTIONS: nodeOptions,
    DATABASE_URL: url,
    MANA_AUTH_URL: "http://127.0.0.1:1",
    MANA_SERVICE_KEY: key,
    HOST: "127.0.0.1",
    PORT: String(port),
    RUN_WORKER: "false",
    ...(process.env["DATABASE_MAX_CONNECTIONS"] === undefined
      ? {}
      : { DATABASE_MAX_CONNECTIONS: process.env["DATABASE_MAX_CONNECTIONS"] })
  })
  return { ...running, port }
}

/** Brings a database to the schema of a checkout, with that checkout's own `migrate`. */
export const migrate = (checkout: string, url: string) =>
  promisify(execFile)("node", ["src/main.ts", "migrate"], {
    cwd: checkout,
    env: environment(checkout, { DATABASE_URL: url })
  })

/** One round of load, generated in a process of its own. */
export const measure = async (load: Load): Promise<Measured> => {
  const child = spawn(process.execPath, [here("load.ts"), JSON.stringify(load)], {
    stdio: ["ignore", "pipe", "inherit"]
  })
  let output = ""
  child.stdout.on("data", (chunk) => (output += String(chunk)))
  await once(child, "close")
  return decodeMeasured(output)
}

/** Resident memory of a process in MB; undefined where the system doesn't say (no /proc). */
export const residentMb = async (pid: number) => {
  const status = await fs.readFile(`/proc/${pid}/status`, "utf8").catch(() => "")
  const kb = /VmRSS:\s+(\d+)/.exec(status)?.[1]
  return kb === undefined ? undefined : Math.round(Number(kb) / 1024)
}

/** Seconds of processor time that a process has used: Linux only. */
export const cpuSeconds = async (pid: number) => {
  const fields = (await fs.readFile(`/proc/${pid}/stat`, "utf8")).replace(/^.*\) /, "").split(" ")
  return (Number(fields[11]) + Number(fields[12])) / 100
}
