#!/usr/bin/env node
/** The command line: `node src/main.ts <command>`. Each command is loaded when it is asked for. */
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect } from "effect"
import { reasonOf } from "./reason.ts"

const usage = `Usage: node src/main.ts <command>

  serve          the service, and the worker with it unless RUN_WORKER=false (npm start)
  worker         the worker alone
  migrate        brings the database to the schema this version needs
  seal           prints one digest over all history, to be kept elsewhere
  verify         proves the books: prints what isn't true, and exits with 1 if there is anything;
                 --seal <digest>, any number of times: and whether history up to that seal is as it was
  keys <command> service keys per app: create, list, revoke, rotate
  dev            the service with everything it needs, for development (npm run dev)
  db <command>   writes migrations: watch, commit, uncommit, status, reset (npm run db -- <command>)

Settings come from the environment: .env.example explains each.`

/** What a command comes to: the exit code of the process, or a message for the person at the terminal. */
type Command = Effect.Effect<number, Error, NodeContext.NodeContext>

const run = (command: string | undefined, args: ReadonlyArray<string>): Command => {
  switch (command) {
    case "serve":
      return Effect.flatMap(
        Effect.promise(() => import("./commands/serve.ts")),
        (serve) => serve.run()
      )
    case "worker":
      return Effect.flatMap(
        Effect.promise(() => import("./commands/worker.ts")),
        (worker) => worker.run()
      )
    case "migrate":
      return Effect.flatMap(
        Effect.promise(() => import("./commands/migrate.ts")),
        (migrate) => migrate.run()
      )
    case "seal":
      return Effect.flatMap(
        Effect.promise(() => import("./commands/seal.ts")),
        (seal) => seal.run()
      )
    case "verify":
      return Effect.flatMap(
        Effect.promise(() => import("./commands/verify.ts")),
        (verify) => verify.run(args)
      )
    case "keys":
      return Effect.flatMap(
        Effect.promise(() => import("./commands/keys.ts")),
        (keys) => keys.run(args)
      )
    case "dev":
      return Effect.flatMap(
        Effect.promise(() => import("./dev/dev.ts")),
        (dev) => dev.run()
      )
    case "db":
      return Effect.flatMap(
        Effect.promise(() => import("./dev/db.ts")),
        (db) => db.run(args)
      )
    case "help":
    case "--help":
    case "-h":
      return Effect.as(Console.log(usage), 0)
    default:
      return Effect.as(Console.error(usage), 1)
  }
}

/** These take none: a word behind one of them was meant for something else. */
const withoutArguments = new Set(["serve", "worker", "migrate", "seal", "dev"])

const [named, ...args] = process.argv.slice(2)
const isQuestion = args.some((argument) => argument === "--help" || argument === "-h")
const command = isQuestion ? "help" : withoutArguments.has(named ?? "") && args.length > 0 ? undefined : named

run(command, args).pipe(
  // What people can act on is one message; anything else is a bug and comes with its trace.
  Effect.catchAll(({ message, cause }) => {
    const reason = cause instanceof Error && cause.message !== message ? reasonOf(cause) : ""
    return Effect.as(Console.error([message, reason].filter((each) => each !== "").join(": ")), 1)
  }),
  Effect.tap((exitCode) => Effect.sync(() => (process.exitCode = exitCode))),
  Effect.provide(NodeContext.layer),
  NodeRuntime.runMain({ disablePrettyLogger: true })
)
