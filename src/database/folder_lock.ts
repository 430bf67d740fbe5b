/** One process at a time in a folder. The kernel lets go of the lock when its holder dies, however it dies. */
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { Data, Effect, Predicate } from "effect"

export class FolderInUse extends Data.TaggedError("FolderInUse")<{
  readonly folder: string
  /** Of the process at work there, as far as we know. */
  readonly pid: string
}> {
  override get message() {
    return `${this.folder} is in use by process ${this.pid}: stop that one first, or choose another folder with DATA_DIR.`
  }
}

const busy = 5 // SQLITE_BUSY

/**
 * Holds a folder until the scope closes. The lock is SQLite's on an empty file: Node has no file locks of its own,
 * and a file that says who we are would stay behind after a kill -9 and mean somebody else once its pid is reused.
 */
export const lockFolder = (folder: string) =>
  Effect.acquireRelease(
    Effect.try(() => {
      fs.mkdirSync(folder, { recursive: true, mode: 0o700 })
      const lock = new DatabaseSync(path.join(folder, "lock"))
      try {
        lock.exec("begin exclusive")
        fs.writeFileSync(path.join(folder, "lock.pid"), `${process.pid}`)
        return lock
      } catch (error) {
        lock.close()
        throw error
      }
    }),
    (lock) => Effect.sync(() => lock.close())
  ).pipe(
    Effect.catchIf(
      ({ cause }) => Predicate.hasProperty(cause, "errcode") && cause.errcode === busy,
      () =>
        Effect.flatMap(
          Effect.promise(() => fs.promises.readFile(path.join(folder, "lock.pid"), "utf8").catch(() => "unknown")),
          (pid) => new FolderInUse({ folder, pid })
        )
    )
  )
