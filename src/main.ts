/** The command line: `node src/main.ts <command>`. Each command lives in its room and is loaded when it is asked for. */
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Console, Effect } from "effect"

const usage = `Usage: node src/main.ts <command>

  dev                 the service with everything it needs, for development (npm run dev)
  db <command>        write migrations: watch, commit, uncommit, status, reset (npm run db -- <command>)
`

/** What a command comes to: the exit code of the process. */
const run = (command: string | undefined, args: ReadonlyArray<string>) => {
  switch (command) {
    case "db":
      return Effect.flatMap(
        Effect.promise(() => import("./dev/db.ts")),
        ({ db }) => db(args)
      )
    default:
      return Effect.as(Console.error(usage), 1)
  }
}

const [command, ...args] = process.argv.slice(2)

run(command, args).pipe(
  // What people can act on is one message; anything else is a bug and comes with its trace.
  Effect.catchAll((error) => Effect.as(Console.error(error.message), 1)),
  Effect.tap((exitCode) => Effect.sync(() => (process.exitCode = exitCode))),
  Effect.provide(NodeContext.layer),
  NodeRuntime.runMain()
)
