/** `npm run db -- <command>`: graphile-migrate's own command line on the development databases, and the functions. */
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { Console, Effect, Stream } from "effect"
import { ChildProcess, ChildProcessSpawner } from "effect/process"
import { readDevSettings } from "../config.ts"
import { sharedPostgres } from "../database/embedded.ts"
import { projectRoot } from "../database/functions.ts"
import { migrate, MigrationError, type MigrationTarget, migrateToCurrent } from "../database/migrate.ts"
import { devDatabases, disconnectAll } from "./databases.ts"

const cli = fileURLToPath(new URL("cli.js", import.meta.resolve("graphile-migrate")))

const changesOf = (folder: string) =>
  Stream.fromAsyncIterable(
    fs.watch(path.join(projectRoot, folder), { recursive: true }),
    (cause) => new MigrationError({ message: `${folder}/ can't be watched: ${String(cause)}` })
  )

/** Applies migrations, current.sql and functions, and does so again after every change in their folders. */
const watch = (target: MigrationTarget) => {
  const apply = Effect.catch(migrateToCurrent(target), ({ message }) => Console.error(message))
  const changes = Stream.merge(changesOf("migrations"), changesOf("sql"))
  return Effect.andThen(
    apply,
    changes.pipe(
      Stream.debounce("200 millis"),
      Stream.runForEach(() => apply)
    )
  )
}

/** Commands after which the development database has every committed migration: its functions follow. */
const migrating = new Set(["migrate", "current", "reset", "commit"])

/** Runs until the command ends, and answers with its exit code. Works beside a running `npm run dev` on the same data. */
export const run = Effect.fnUntraced(function* (args: ReadonlyArray<string>) {
  const settings = yield* readDevSettings
  const databases = yield* devDatabases(settings, sharedPostgres({ dataDir: settings.dataDir }))
  const { url, shadowUrl, rootUrl } = databases
  const [command = ""] = args
  const { log } = yield* Console.Console
  const target = { url, log: (line: string) => log(line) }
  if (command === "watch") {
    yield* args.includes("--once") ? migrateToCurrent(target) : watch(target)
    return 0
  }
  if (command === "reset" && args.includes("--erase")) yield* disconnectAll(databases)
  const spawner = yield* ChildProcessSpawner.ChildProcessSpawner
  const child = ChildProcess.make(process.execPath, [cli, ...args], {
    cwd: projectRoot,
    env: {
      DATABASE_URL: url,
      SHADOW_DATABASE_URL: shadowUrl,
      ROOT_DATABASE_URL: rootUrl,
      // The commands that .gmrc runs are those of our dependencies.
      PATH: `${path.join(projectRoot, "node_modules/.bin")}${path.delimiter}${process.env["PATH"] ?? ""}`
    },
    extendEnv: true,
    stdout: "inherit",
    stderr: "inherit"
  })
  const exitCode = Number(yield* spawner.exitCode(child))
  if (exitCode === 0 && migrating.has(command) && !args.includes("--shadow")) yield* migrate(target)
  return exitCode
}, Effect.scoped)
