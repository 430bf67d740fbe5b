/** Fault 3, the fourth: the disk is full. A small file system in memory holds PostgreSQL's data, and a file fills it. */
import { execFile } from "node:child_process"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { promisify } from "node:util"
import { randomFrom } from "../../src/dev/stripe/faults.ts"
import { underLoad } from "./load.ts"
import type { Scenario, Task } from "./scenario.ts"
import { openStage, type Stage } from "./stage.ts"
import { sleep, until } from "./wait.ts"

const run = promisify(execFile)

/** A file system of so many MB in the task's folder, or why there can't be one. */
export const smallDisk = async (task: Task, megabytes: number) => {
  const folder = path.join(task.folder, "disk")
  await fs.mkdir(folder, { recursive: true })
  try {
    await run("mount", ["-t", "tmpfs", "-o", `size=${megabytes}m,mode=0755`, "tmpfs", folder])
  } catch (error) {
    const [reason] = String(error instanceof Error ? error.message : error).split("\n")
    return { why: `a small file system can't be mounted here, which takes root on Linux (${reason})` }
  }
  task.onEnd(() => run("umount", ["--lazy", folder]))
  return { folder }
}

/** What PostgreSQL needs to live on a small disk. */
export const smallSettings = ["min_wal_size=32MB", "max_wal_size=48MB", "shared_buffers=32MB"]

/** Writes until nothing more fits; answers how many bytes that were. */
const fill = async (file: string) => {
  const handle = await fs.open(file, "a")
  const { size: before } = await handle.stat()
  try {
    for (const size of [1 << 20, 1 << 12]) {
      const block = Buffer.alloc(size)
      try {
        for (;;) await handle.appendFile(block)
      } catch {
        // Full: the smaller blocks take the rest.
      }
    }
    return (await handle.stat()).size - before
  } finally {
    await handle.close()
  }
}

export interface FullOptions {
  /** Milliseconds for which the disk is full, at most. */
  readonly full: number
  /** Milliseconds of work between, at most. */
  readonly work: number
}

export const fillDisk = async (stage: Stage, folder: string, milliseconds: number, { full, work }: FullOptions) => {
  const random = randomFrom(stage.task.seed)
  const pids = stage.services.map((service) => service.process().pid)
  const balloon = path.join(folder, "balloon")
  let fills = 0
  let filled = 0
  let restarts = 0
  const deadline = performance.now() + milliseconds
  /** As a supervisor does. While nothing fits it fails, and comes again. */
  const supervise = async () => {
    if (stage.postgres.isAlive()) return
    const isBack = await stage.postgres.restart().then(
      () => true,
      () => false
    )
    if (isBack) restarts += 1
  }
  do {
    await sleep(random() * work)
    fills += 1
    const over = performance.now() + full * (0.5 + random() / 2)
    while (performance.now() < over) {
      // What a checkpoint frees is taken again.
      filled = Math.max(filled, await fill(balloon))
      await supervise()
      await sleep(100)
    }
    await fs.rm(balloon)
    for (const { origin } of stage.services) {
      await until(
        "ready again by itself when there is room",
        async () => {
          await supervise()
          return stage.ready(origin)
        },
        (status) => status === 200,
        60_000
      )
    }
    stage.task.say(`${fills} times the disk was full, ${restarts} times PostgreSQL ended of it and was started`)
  } while (performance.now() < deadline)
  const wrong = stage.services.flatMap((service, index) =>
    service.process().isOver() || service.process().pid !== pids[index] ? ["the service ended by itself"] : []
  )
  return {
    facts: {
      "times the disk was full": fills,
      "times PostgreSQL ended of it and was started": restarts,
      "MB taken at most": Math.round(filled / 1e6)
    },
    wrong
  }
}

export const scenario: Scenario = {
  name: "full-disk",
  about: "PostgreSQL's disk full under load, its log of writes included: 503, and all is well when there is room",
  minutes: 2,
  run: async (task) => {
    const disk = await smallDisk(task, 400)
    if (disk.folder === undefined) {
      task.say(`skipped: ${disk.why}`)
      return { facts: { skipped: disk.why }, wrong: [] }
    }
    const { folder } = disk
    const stage = await openStage(task, {
      services: 2,
      dataDir: path.join(folder, "data"),
      settings: smallSettings
    })
    return underLoad(stage, { processes: 4, lanes: 8 }, () =>
      fillDisk(stage, folder, task.milliseconds, { full: 8000, work: 6000 })
    )
  }
}
