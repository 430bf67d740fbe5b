/** The program as a person or a supervisor runs it: a process of its own, seen by its output and its end. */
import { spawn } from "node:child_process"
import { createServer } from "node:net"
import { fileURLToPath } from "node:url"
import { onTestFinished } from "vitest"
import { eventually } from "./wait.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
// Saves each start a part of its work.
const compileCache = fileURLToPath(new URL("../../node_modules/.cache/node-compile", import.meta.url))

/** For tests that start the program several times: their own time-out, in milliseconds. */
export const severalStarts = 90_000
const startWithin = 60_000

export interface Program {
  readonly pid: number
  readonly stdout: () => string
  readonly stderr: () => string
  /** Until the output holds it; fails when the program ends before. */
  readonly says: (text: string) => Promise<void>
  /** The exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>
  readonly signal: (signal: NodeJS.Signals) => void
  /** As if whoever its output went to had ended. */
  readonly stopReading: () => void
  /** To the program and all that runs in its process group, as a terminal does. */
  readonly signalGroup: (signal: NodeJS.Signals) => void
}

/** `node src/main.ts …`, with nothing of our environment but what the system needs. Killed when the test ends. */
export const start = (args: ReadonlyArray<string>, env: Readonly<Record<string, string>>): Program => {
  const child = spawn(process.execPath, ["src/main.ts", ...args], {
    cwd: root,
    detached: true,
    env: { PATH: process.env["PATH"], HOME: process.env["HOME"], NODE_COMPILE_CACHE: compileCache, ...env },
    stdio: ["ignore", "pipe", "pipe"]
  })
  const pid = child.pid ?? 0
  const output = { stdout: "", stderr: "" }
  child.stdout.on("data", (chunk) => (output.stdout += String(chunk)))
  child.stderr.on("data", (chunk) => (output.stderr += String(chunk)))
  let isOver = false
  const ended = new Promise<number | NodeJS.Signals>((resolve) => {
    child.once("close", (code, signal) => {
      isOver = true
      resolve(code ?? signal ?? 0)
    })
  })
  const signalGroup = (signal: NodeJS.Signals) => void process.kill(-pid, signal)
  onTestFinished(async () => {
    if (!isOver) signalGroup("SIGKILL")
    await ended
  })
  return {
    pid,
    stdout: () => output.stdout,
    stderr: () => output.stderr,
    says: async (text) => {
      await eventually(
        async () => output.stdout.includes(text) || isOver,
        (done) => done,
        // A start makes a cluster and migrates it, on a machine that may be busy with other tests.
        startWithin
      )
      if (!output.stdout.includes(text)) throw new Error(`it ended without "${text}": ${output.stdout}${output.stderr}`)
    },
    ended,
    signal: (signal) => void child.kill(signal),
    stopReading: () => void child.stdout.destroy(),
    signalGroup
  }
}

/** A port that nobody listens on just now. */
export const freePort = () =>
  new Promise<number>((resolve, reject) => {
    const server = createServer()
    server.once("error", reject)
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0))
    })
  })
