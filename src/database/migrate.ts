/** Migrations by graphile-migrate, with the settings of `.gmrc`, then the functions of `sql/`, on one database. */
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { Data, Effect, Predicate, Schedule, Schema } from "effect"
import * as migrations from "graphile-migrate"
import { clearAllPools } from "graphile-migrate/dist/pg.js"
import { applyFunctions, projectRoot } from "./functions.ts"

export class MigrationError extends Data.TaggedError("MigrationError")<{
  readonly message: string
  /** A lock was held for longer than a migration waits, or another process migrates; nothing was changed. */
  readonly isHeldUp?: boolean
}> {}

// What .gmrc may hold here; graphile-migrate checks the actions themselves.
const Actions = Schema.mutable(
  Schema.Array(Schema.Union([Schema.String, Schema.Struct({ _: Schema.Literal("command"), command: Schema.String })]))
)
const Gmrc = Schema.fromJsonString(
  Schema.Struct({ blankMigrationContent: Schema.String, beforeAllMigrations: Actions, afterReset: Actions })
)

/** What `.gmrc` says. */
const readGmrc = Effect.tryPromise({
  try: async () => Schema.decodeUnknownSync(Gmrc)(await fs.readFile(path.join(projectRoot, ".gmrc"), "utf8")),
  catch: (cause) => new MigrationError({ message: `.gmrc can't be read: ${String(cause)}` })
})

export interface MigrationTarget {
  /** Connects as a role that may create roles; later as the same one, since graphile-migrate's tables are its own. */
  readonly url: string
  /** A scratch database for `commit`, emptied and rebuilt; only development has one. */
  readonly shadowUrl?: string
  /** A superuser's connection, for `reset`; only development has one. */
  readonly rootUrl?: string
  /** The folder that holds `migrations/` and `sql/`; ours unless said otherwise. */
  readonly root?: string
  /** One line a step; silent without it. */
  readonly log?: (line: string) => void
}

/**
 * How long a migration waits for a table. Whoever comes after it waits behind it, debits included, so it gives way to
 * what holds the table (a report, a backup) and comes back.
 */
const lockTimeout = "1s"
/** It comes back after this, for so long. */
const comesBack = Schedule.spaced("2 seconds").pipe(Schedule.upTo({ duration: "15 minutes" }))

/** The settings of `.gmrc` for one database. */
const migrationSettings = (target: MigrationTarget) =>
  Effect.map(readGmrc, (gmrc): migrations.Settings => {
    // The queue's installer is a command of a dependency; npm scripts find it by PATH, `node src/main.ts` by this.
    process.env["PATH"] = `${path.join(projectRoot, "node_modules/.bin")}${path.delimiter}${process.env["PATH"] ?? ""}`
    return {
      ...gmrc,
      migrationsFolder: path.join(target.root ?? projectRoot, "migrations"),
      pgSettings: { lock_timeout: lockTimeout },
      connectionString: target.url,
      ...(target.shadowUrl === undefined ? {} : { shadowConnectionString: target.shadowUrl }),
      // Only `reset` connects to it, but graphile-migrate wants one that differs.
      rootConnectionString: target.rootUrl ?? "postgres:///template1",
      logger: new migrations.Logger(() => (level, message) => {
        if (level !== "debug") target.log?.(message)
      })
    }
  })

/** graphile-migrate's message while another process migrates this database. */
const othersMigrate = "Failed to get exclusive lock"

const failed = (cause: unknown) => {
  const message = cause instanceof Error ? cause.message : String(cause)
  const timedOut = Predicate.hasProperty(cause, "code") && cause.code === "55P03"
  return new MigrationError({ message, isHeldUp: timedOut || message === othersMigrate })
}

/*
 * graphile-migrate keeps its connections for a moment after its work, and ends the process when one of them is lost:
 * silently, if whoever started the server stops it right then. So it is left to end, and its connections are closed.
 */
const toTheEnd =
  (run: (settings: migrations.Settings) => Promise<void>) =>
  (target: MigrationTarget): Effect.Effect<void, MigrationError> =>
    Effect.flatMap(migrationSettings(target), (settings) =>
      Effect.tryPromise({
        try: async () => {
          await run(settings)
          await applyFunctions({
            url: target.url,
            root: target.root ?? projectRoot,
            lockTimeout,
            log: (line) => target.log?.(line)
          })
        },
        catch: failed
      }).pipe(
        Effect.uninterruptible,
        Effect.tapError(({ isHeldUp, message }) =>
          isHeldUp === true
            ? Effect.sync(() => target.log?.(`Held up by a lock (${message}): trying again until it is free.`))
            : Effect.void
        ),
        Effect.retry({ schedule: comesBack, while: ({ isHeldUp }) => isHeldUp === true }),
        Effect.ensuring(Effect.sync(clearAllPools))
      )
    )

/**
 * Applies every committed migration that the database lacks, then the functions. Safe to call again, and by several at
 * once.
 */
export const migrate = toTheEnd((settings) => migrations.migrate(settings))

/** `migrate` with the migration being written (migrations/current.sql) before the functions: what tests run against. */
export const migrateToCurrent = toTheEnd((settings) => migrations.current(settings))
