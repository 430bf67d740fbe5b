/** `npm run db -- <command>`: graphile-migrate's own command line on the development databases. */
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { Console, Effect } from "effect"
import { ChildProcess, ChildProcessSpawner } from "effect/process"
import { readDevSettings } from "../config.ts"
import { sharedPostgres } from "../database/embedded.ts"
import { currentMigration, type MigrationTarget, migrationStatus, readGmrc } from "../database/migrate.ts"
import { devDatabases, disconnectAll } from "./databases.ts"

const root = path.resolve(fileURLToPath(import.meta.url), "../../..")
const cli = fileURLToPath(new URL("cli.js", import.meta.resolve("graphile-migrate")))

/**
 * The migration being written, as graphile-migrate wants it for this command. `uncommit` asks for an empty one, and ours
 * never is: the blank one takes the functions along. A command that fails may leave it with its includes expanded, which
 * the next one wouldn't take: then it is put back as it was.
 */
const keepingCurrent = Effect.fnUntraced(function* <E, R>(
  command: string | undefined,
  run: Effect.Effect<number, E, R>
) {
  if (command !== "commit" && command !== "uncommit") return yield* run
  const before = yield* Effect.promise(() => fs.readFile(currentMigration, "utf8"))
  const { blankMigrationContent } = yield* readGmrc
  if (command === "uncommit" && before.trim() === blankMigrationContent.trim()) {
    yield* Effect.promise(() => fs.writeFile(currentMigration, ""))
  }
  const exitCode = yield* run
  if (exitCode !== 0) yield* Effect.promise(() => fs.writeFile(currentMigration, before))
  return exitCode
})

/** In place of graphile-migrate's own, for which the blank migration is one that somebody is writing. */
const status = Effect.fnUntraced(function* (target: MigrationTarget) {
  const { missing, isWriting } = yield* migrationStatus(target)
  if (missing.length > 0) yield* Console.log(`Committed, and not applied here: ${missing.join(", ")}`)
  if (isWriting) yield* Console.log("migrations/current.sql holds a migration that isn't committed.")
  if (missing.length === 0 && !isWriting) yield* Console.log("Up to date.")
  return (missing.length > 0 ? 1 : 0) + (isWriting ? 2 : 0)
})

/** Runs until the command ends, and answers with its exit code. Works beside a running `npm run dev` on the same data. */
export const run = Effect.fnUntraced(function* (args: ReadonlyArray<string>) {
  const settings = yield* readDevSettings
  const databases = yield* devDatabases(settings, sharedPostgres({ dataDir: settings.dataDir }))
  const { url, shadowUrl, rootUrl } = databases
  if (args[0] === "status") return yield* status({ url, shadowUrl })
  if (args[0] === "reset" && args.includes("--erase")) yield* disconnectAll(databases)
  const spawner = yield* ChildProcessSpawner.ChildProcessSpawner
  const command = ChildProcess.make(process.execPath, [cli, ...args], {
    cwd: root,
    env: {
      DATABASE_URL: url,
      SHADOW_DATABASE_URL: shadowUrl,
      ROOT_DATABASE_URL: rootUrl,
      // The commands that .gmrc runs are those of our dependencies.
      PATH: `${path.join(root, "node_modules/.bin")}${path.delimiter}${process.env["PATH"] ?? ""}`
    },
    extendEnv: true,
    stdout: "inherit",
    stderr: "inherit"
  })
  return yield* keepingCurrent(args[0], Effect.map(spawner.exitCode(command), Number))
}, Effect.scoped)
