import { spawn } from "node:child_process"
import * as fs from "node:fs/promises"
import * as os from "node:os"
import * as path from "node:path"
import { Effect, Exit, Scope } from "effect"
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest"
import { embeddedPostgres, sharedPostgres } from "../../src/database/embedded.ts"
import { severalStarts } from "../support/program.ts"

let folder = ""
beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), "mana-credits-leftovers-"))
})
afterAll(() => fs.rm(folder, { recursive: true, force: true, maxRetries: 10 }))

const options = () => ({ dataDir: folder })
const started = async (how: typeof embeddedPostgres) => {
  const scope = await Effect.runPromise(Scope.make())
  const stop = () => Effect.runPromise(Scope.close(scope, Exit.void))
  onTestFinished(stop)
  return { ...(await Effect.runPromise(Scope.provide(how(options()), scope))), stop }
}

test(
  "a folder in use is shared or refused; a stale lock and somebody else's pid don't keep it",
  { timeout: severalStarts },
  async () => {
    const first = await started(embeddedPostgres)
    expect(await started(sharedPostgres)).toMatchObject({ pid: first.pid, port: first.port })
    expect(await Effect.runPromise(Effect.flip(Effect.scoped(embeddedPostgres(options()))))).toMatchObject({
      _tag: "FolderInUse",
      pid: String(process.pid)
    })
    await first.stop()

    // What a kill -9 leaves, its process numbers long somebody else's: a process that has nothing to do with it.
    const stranger = spawn("sleep", ["60"])
    onTestFinished(() => void stranger.kill())
    await fs.writeFile(path.join(folder, "lock.pid"), String(stranger.pid))
    await fs.writeFile(
      path.join(folder, "postgres/postmaster.pid"),
      `${stranger.pid}\n${folder}/postgres\n1700000000\n${first.port}\n\n127.0.0.1\n\nready\n`
    )
    const second = await started(sharedPostgres)
    expect(second.pid).not.toBe(stranger.pid)
    expect(stranger.exitCode ?? stranger.signalCode).toBe(null)
  }
)
