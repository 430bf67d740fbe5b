/** The command line. A command's module is loaded when the command runs: help and completions load none. */
import { Cause, Console, Data, Effect } from "effect"
import { Argument, CliConfig, CliError, CliOutput, Command, Flag, GlobalFlag } from "effect/cli"
import manifest from "../../package.json" with { type: "json" }
import { errorMessage } from "../lib/error-message.ts"

/** An exit code other than 0, of a command that has printed why. */
class Ended extends Data.TaggedError("Ended")<{ readonly exitCode: number }> {}

const endWith = (exitCode: number) => (exitCode === 0 ? Effect.void : Effect.fail(new Ended({ exitCode })))

const loaded = <A, E, R>(command: () => Promise<Effect.Effect<A, E, R>>) => Effect.flatten(Effect.promise(command))

const serve = Command.make("serve", {}, () => loaded(async () => (await import("./serve.ts")).run())).pipe(
  Command.withDescription("The service, and the worker with it unless RUN_WORKER=false (npm start)")
)

const worker = Command.make("worker", {}, () => loaded(async () => (await import("./worker.ts")).run())).pipe(
  Command.withDescription("The worker alone")
)

const migrate = Command.make("migrate", {}, () => loaded(async () => (await import("./migrate.ts")).run())).pipe(
  Command.withDescription("Brings the database to the schema this version needs")
)

const seal = Command.make("seal", {}, () => loaded(async () => (await import("./seal.ts")).run())).pipe(
  Command.withDescription("Prints one digest over all history, to be kept elsewhere")
)

const verify = Command.make(
  "verify",
  {
    seals: Flag.String("seal").pipe(
      Flag.withMetavar("<digest>"),
      Flag.withDescription("And that history up to this seal is unchanged; any number of times"),
      Flag.atLeast(0)
    )
  },
  ({ seals }) =>
    Effect.flatMap(
      loaded(async () => (await import("./verify.ts")).run(seals)),
      endWith
    )
).pipe(
  Command.withShortDescription("Proves the books: prints what isn't true"),
  Command.withDescription(
    "Proves the books: prints what isn't true. Exit code 0: the books are true; 1: something is wrong; 2: it couldn't check."
  )
)

const by = Flag.String("by").pipe(
  Flag.withMetavar("<name>"),
  Flag.withDescription("Recorded as the person who did it; the login name here without it"),
  Flag.optional
)
const key = Argument.String("key").pipe(Argument.withDescription("Its prefix or id"))

const createKey = Command.make(
  "create",
  {
    app: Flag.String("app").pipe(Flag.withMetavar("<app>"), Flag.withDescription("The app that uses the key")),
    scopes: Flag.String("scopes").pipe(
      Flag.withMetavar("<scope,…>"),
      Flag.withDescription("What the key opens, commas between")
    ),
    dailyCap: Flag.String("daily-cap").pipe(
      Flag.withMetavar("<credits>"),
      Flag.withDescription("What may be debited or held through it in a UTC day"),
      Flag.optional
    ),
    expires: Flag.String("expires").pipe(
      Flag.withMetavar("<date>"),
      Flag.withDescription("When it ends by itself"),
      Flag.optional
    ),
    by
  },
  (options) => loaded(async () => (await import("./keys.ts")).create(options))
).pipe(Command.withDescription("A key for an app: prints the secret, once"))

const listKeys = Command.make("list", {}, () => loaded(async () => (await import("./keys.ts")).list)).pipe(
  Command.withDescription("Every key, and when it was last used")
)

const revokeKey = Command.make("revoke", { key, by }, (options) =>
  loaded(async () => (await import("./keys.ts")).revoke(options))
).pipe(Command.withDescription("Ends a key: it is refused within 30 seconds"))

const rotateKey = Command.make(
  "rotate",
  {
    key,
    overlap: Flag.String("overlap").pipe(
      Flag.withMetavar("<time>"),
      Flag.withDescription("How long the old secret stays good, such as 30m, 24h (if not given) or 7d"),
      Flag.optional
    ),
    by
  },
  (options) => loaded(async () => (await import("./keys.ts")).rotate(options))
).pipe(Command.withDescription("A new secret for a key; the old one stays good for the overlap"))

const keys = Command.make("keys").pipe(
  Command.withShortDescription("Service keys per app"),
  Command.withDescription("Service keys per app. DATABASE_URL is that of a role that may act as mana_ops."),
  Command.withSubcommands([createKey, listKeys, revokeKey, rotateKey])
)

const dev = Command.make("dev", {}, () => loaded(async () => (await import("../dev/dev.ts")).run())).pipe(
  Command.withDescription("The service with everything it needs, for development (npm run dev)")
)

const db = Command.make(
  "db",
  {
    command: Argument.String("command").pipe(
      Argument.withDescription("watch, commit, uncommit, status, reset or another of graphile-migrate's")
    ),
    args: Argument.String("args").pipe(Argument.withDescription("Its arguments and options"), Argument.variadic())
  },
  ({ command, args }) =>
    Effect.flatMap(
      loaded(async () => (await import("../dev/db.ts")).run([command, ...args])),
      endWith
    )
).pipe(Command.withDescription("Writes migrations, on the databases of development (npm run db -- <command>)"))

const program = Command.make(manifest.name).pipe(
  Command.withDescription(`${manifest.description} Settings come from the environment: .env.example explains each.`),
  Command.withSubcommands([serve, worker, migrate, seal, verify, keys, dev, db])
)

/** Standard output holds what was asked for, which scripts keep; the help that comes with an error isn't that. */
const presenter: CliOutput.Presenter = {
  present: (event) => {
    const present = CliOutput.defaultPresenter.present(event)
    return event._tag === "Version" || (event._tag === "Help" && event.reason === "Requested")
      ? present
      : Console.consoleWith((console) =>
          Effect.provideService(present, Console.Console, { ...console, log: console.error })
        )
  }
}

/** `help keys` is `keys --help`. What follows `db` are graphile-migrate's arguments: its options aren't ours. */
const understood = (args: ReadonlyArray<string>) => {
  const [first, ...rest] = args
  if (first === "help") return [...rest, "--help"]
  const isQuestion = rest.includes("--help") || rest.includes("-h")
  return first === "db" && !isQuestion ? ["db", "--", ...rest] : args
}

const named = (args: ReadonlyArray<string>) => args.find((argument) => !argument.startsWith("-")) ?? ""

/** Of a command that couldn't do its work. After `verify`, 1 means that the books are wrong. */
const failure = (args: ReadonlyArray<string>) => (named(args) === "verify" ? 2 : 1)

/** The exit code after SIGINT or SIGTERM: 0 for a command that runs until it is told to stop. */
export const stopped = (args: ReadonlyArray<string>) =>
  ["serve", "worker", "dev", "db"].includes(named(args)) ? 0 : failure(args)

/** Runs the command that the arguments name, and succeeds with its exit code. */
export const run = (args: ReadonlyArray<string>) =>
  Command.runWith(program, { version: manifest.version })(understood(args)).pipe(
    Effect.as(0),
    Effect.catch((error) => {
      if (error instanceof Ended) return Effect.succeed(error.exitCode)
      // The presenter has printed it.
      if (CliError.isCliError(error)) return Effect.succeed(failure(args))
      // A problem that a person can act on is one message.
      const { message, cause } = error
      const reason = cause instanceof Error && cause.message !== message ? errorMessage(cause) : ""
      return Effect.as(Console.error([message, reason].filter((each) => each !== "").join(": ")), failure(args))
    }),
    // Anything else is a bug, and comes with its trace.
    Effect.catchCauseIf(
      (cause) => !Cause.hasInterruptsOnly(cause),
      (cause) => Effect.as(Console.error(Cause.pretty(cause)), failure(args))
    ),
    Effect.provideService(CliConfig.CliConfig, {
      builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions]
    }),
    Effect.provideService(CliOutput.Presenter, presenter)
  )
