import { execFile } from "node:child_process"
import * as fs from "node:fs/promises"
import * as os from "node:os"
import * as path from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { freePort, severalStarts, start } from "../support/program.ts"
import { eventually } from "../support/wait.ts"

let folder = ""
let port = 0
beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), "mana-credits-dev-"))
  port = await freePort()
})
afterAll(() => fs.rm(folder, { recursive: true, force: true, maxRetries: 10 }))

const dataDir = () => path.join(folder, "data")
const dev = (env: Readonly<Record<string, string>> = {}) =>
  start(["dev"], { DATA_DIR: dataDir(), PORT: String(port), ...env })

/** Runs a printed line as somebody who pastes it, and reads the answer. */
const paste = async (line: string) => {
  const { stdout } = await promisify(execFile)("sh", ["-c", line])
  return JSON.parse(stdout)
}

const curls = (output: string) => output.split("\n").filter((line) => line.startsWith("  curl "))

const postgresRuns = async () => {
  const pid = Number.parseInt(
    await fs.readFile(path.join(dataDir(), "postgres/postmaster.pid"), "utf8").catch(() => "0"),
    10
  )
  if (pid === 0) return false
  const stat = await fs.readFile(`/proc/${pid}/stat`, "utf8").catch(() => "")
  return stat !== "" && !/\) [ZX] /.test(stat)
}

// Each test goes on with what the one before left in the folder.
describe("npm run dev", () => {
  let balanceLine = ""

  test("gives a newcomer everything, and lines that work when pasted", { timeout: severalStarts }, async () => {
    const running = dev()
    await running.says(`ready on http://127.0.0.1:${port}`)
    expect(running.stdout().trimEnd().split("\n").at(-1)).toBe(`ready on http://127.0.0.1:${port}`)

    const [balance = "", use = "", serviceUse = "", buy = "", token = ""] = curls(running.stdout())
    balanceLine = balance
    expect(await paste(balance)).toMatchObject({ balance: 1000 })
    expect(await paste(use)).toMatchObject({ success: true, newBalance: { balance: 995 } })
    expect(await paste(serviceUse)).toMatchObject({ success: true, newBalance: { balance: 990 } })
    expect(await paste(token)).toEqual({ token: expect.any(String) })

    const { checkoutUrl } = await paste(buy)
    const paid = await fetch(checkoutUrl, {
      method: "POST",
      redirect: "manual",
      body: new URLSearchParams({ method: "card", action: "pay" })
    })
    expect(paid.headers.get("location")).toBe(`http://127.0.0.1:${port}/docs#paid`)
    await eventually(
      () => paste(balance),
      (now) => now.balance === 2040
    )

    const database = /Database +(\S+)/.exec(running.stdout())?.[1] ?? ""
    expect(database).toMatch(/^postgres:\/\/postgres:\w+@127\.0\.0\.1:\d+\/mana_credits$/)

    // Beside it, on the same data or on the same port: one line says what is wrong.
    const again = dev()
    expect(await again.ended).toBe(1)
    expect(again.stderr()).toBe(
      `${dataDir()} is in use by process ${running.pid}: stop that one first, or choose another folder with DATA_DIR.\n`
    )
    const elsewhere = dev({ DATABASE_URL: database })
    expect(await elsewhere.ended).toBe(1)
    expect(elsewhere.stderr()).toBe(`Port ${port} is taken: stop what listens there, or choose another with PORT.\n`)

    // Migrations are written beside it.
    const db = start(["db", "status"], { DATA_DIR: dataDir() })
    expect(await db.ended).toBeLessThanOrEqual(2)
    expect(db.stderr()).toBe("")

    running.signalGroup("SIGINT")
    expect(await running.ended).toBe(0)
    expect(await postgresRuns()).toBe(false)
  })

  test(
    "keeps credits and tokens over a stop, and over the death of all of it",
    { timeout: severalStarts },
    async () => {
      const second = dev()
      await second.says("ready on")
      expect(await paste(balanceLine)).toMatchObject({ balance: 2040 })
      second.signalGroup("SIGKILL")
      expect(await second.ended).toBe("SIGKILL")

      const third = dev({ MANA_SERVICE_KEY: "it's mine" })
      await third.says("ready on")
      expect(await paste(balanceLine)).toMatchObject({ balance: 2040, totalEarned: 2050 })
      expect(await paste(curls(third.stdout())[2] ?? "")).toMatchObject({ newBalance: { balance: 2035 } })
      await issuesTokens()
      // The database is made anew beneath it, and it works on.
      const reset = start(["db", "reset", "--erase"], { DATA_DIR: dataDir() })
      expect(await reset.ended).toBe(0)
      expect(await paste(balanceLine)).toMatchObject({ balance: 0, totalEarned: 0 })
      third.signal("SIGTERM")
      expect(await third.ended).toBe(0)
      expect(await postgresRuns()).toBe(false)
    }
  )

  const issuesTokens = async () => {
    const ask = (body: object) =>
      fetch(`http://127.0.0.1:${port}/dev/token`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body)
      })
    const refused = await ask({ sub: "", name: 1 })
    expect(refused.status).toBe(400)
    expect(await refused.json()).toMatchObject({ issues: [{ path: "sub" }, { path: "name" }] })

    const claims = async (body: object) => {
      const { token }: { readonly token: string } = JSON.parse(await (await ask(body)).text())
      return JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString())
    }
    const origin = `http://127.0.0.1:${port}`
    expect(await claims({ sub: "ada" })).toEqual({
      sub: "ada",
      iss: origin,
      aud: "mana",
      iat: expect.any(Number),
      exp: expect.any(Number)
    })
    expect(await claims({ sub: "ada", email: "a@b.example", name: "Ada", role: "admin" })).toMatchObject({
      email: "a@b.example",
      email_verified: true,
      name: "Ada",
      role: "admin"
    })
    expect(await claims({ sub: "ada", email: "a@b.example", email_verified: false })).toMatchObject({
      email_verified: false
    })
  }
})
