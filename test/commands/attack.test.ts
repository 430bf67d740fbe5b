/**
 * The real program while somebody tries to keep it busy: connections that drip, rest or never read, heads too large,
 * shapes that smuggle, floods. Meanwhile its clients are answered in time, and afterwards it is as it was.
 */
import { spawn } from "node:child_process"
import * as fs from "node:fs/promises"
import { fileURLToPath } from "node:url"
import { expect, onTestFinished, test } from "vitest"
import { database } from "../support/database.ts"
import { freePort, start } from "../support/program.ts"
import { eventually } from "../support/wait.ts"

const db = await database()
const key = "a-service-key"

/** How many of each kind; more where somebody asks for the long version. */
const each = Number(process.env["ATTACKERS"] ?? 60)
/** How long the attack lasts at least, in milliseconds. */
const during = Number(process.env["ATTACK_MS"] ?? 3_000)
/**
 * No client waits longer, on a machine that does other things besides: the attackers are on it, too. Where an ordinary
 * debit takes more than 15 ms, a hundred times as long as that.
 */
const boundFor = (usual: ReadonlyArray<number>) =>
  Math.max(1_500, 100 * (usual.toSorted((a, b) => a - b)[Math.floor(usual.length / 2)] ?? 0))

const serving = async () => {
  const port = await freePort()
  const program = start(["serve"], {
    DATABASE_URL: db.urlAs("mana_service"),
    MANA_AUTH_URL: "http://127.0.0.1:1",
    MANA_SERVICE_KEY: key,
    RUN_WORKER: "false",
    HOST: "127.0.0.1",
    LOG_LEVEL: "Warning",
    PORT: String(port)
  })
  const origin = `http://127.0.0.1:${port}`
  await eventually(
    async () =>
      fetch(`${origin}/health/ready`).then(
        ({ ok }) => ok,
        () => false
      ),
    (isReady) => isReady,
    60_000
  )
  return { ...program, port, origin }
}

const use = "/api/v1/internal/credits/use"

/** Of the process, in MiB; Linux says it, and elsewhere the test goes without. */
const memory = async (pid: number) => {
  const status = await fs.readFile(`/proc/${pid}/status`, "utf8").catch(() => "")
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1024
}

test(
  "a normal client is answered in time while somebody tries, and the service is as before",
  { timeout: 120_000 },
  async () => {
    const service = await serving()
    const userId = await db.userWith(1_000_000)
    let number = 0
    const debit = async () => {
      number += 1
      const since = performance.now()
      const { status } = await fetch(service.origin + use, {
        method: "POST",
        signal: AbortSignal.timeout(20_000),
        headers: { "content-type": "application/json", "x-service-key": key },
        body: JSON.stringify({
          userId,
          amount: 1,
          appId: "chat",
          description: "Meanwhile",
          idempotencyKey: `n${number}`
        })
      })
      return { status, took: performance.now() - since }
    }
    const alive = async () => {
      const since = performance.now()
      const { status } = await fetch(`${service.origin}/health`, { signal: AbortSignal.timeout(20_000) })
      return { status, took: performance.now() - since }
    }
    /** Linux says how many there are; elsewhere none. */
    const descriptors = async () => (await fs.readdir(`/proc/${service.pid}/fd`).catch(() => [])).length
    const usual: Array<number> = []
    for (let n = 0; n < 50; n += 1) usual.push((await debit()).took)
    const bound = boundFor(usual)
    const before = await memory(service.pid)

    const attacker = spawn(
      process.execPath,
      [fileURLToPath(new URL("attacker.ts", import.meta.url)), String(service.port), key, String(each)],
      { stdio: ["ignore", "pipe", "inherit"] }
    )
    onTestFinished(() => void attacker.kill("SIGKILL"))
    await new Promise((resolve) => attacker.stdout.once("data", resolve))
    await eventually(descriptors, (count) => count === 0 || count > 4 * each)

    const answers: Array<{ readonly status: number; readonly took: number }> = []
    const until = Date.now() + during
    while (Date.now() < until) answers.push(await debit(), await alive())
    const highest = await memory(service.pid)

    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
    expect(Math.max(...answers.map(({ took }) => took))).toBeLessThan(bound)

    attacker.kill("SIGKILL")
    // What nobody holds any more is let go of: descriptors at once, memory with the collector.
    await eventually(descriptors, (count) => count < 60)
    expect((await debit()).status).toBe(200)
    const after = await memory(service.pid)
    const told = `MiB before ${Math.round(before)}, meanwhile ${Math.round(highest)}, after ${Math.round(after)}`
    expect(highest - before, told).toBeLessThan(200)
    expect(await db.balanceRow(userId)).toMatchObject({ balance: 1_000_000 - number })
    const worst = answers.map(({ took }) => Math.round(took)).toSorted((a, b) => b - a)
    console.log(`${answers.length} answers, the slowest after ${worst.slice(0, 5).join(", ")} ms; ${told}`)
    expect(service.stderr()).toBe("")
    service.signal("SIGTERM")
    expect(await service.ended).toBe(0)
  }
)
