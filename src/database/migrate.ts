/** Migrations by graphile-migrate, with the settings of `.gmrc`, on the database that the caller names. */
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { Data, Effect, Predicate, Schedule, Schema } from "effect"
import * as migrations from "graphile-migrate"
import { clearAllPools } from "graphile-migrate/dist/pg.js"

export class MigrationError extends Data.TaggedError("MigrationError")<{
  readonly message: string
  /** Somebody held a table for longer than a migration waits; nothing was changed. */
  readonly isHeldUp?: boolean
}> {}

const root = path.resolve(fileURLToPath(import.meta.url), "../../..")

/** The migration being written. */
export const currentMigration = path.join(root, "migrations/current.sql")

// What .gmrc may hold here; graphile-migrate checks the actions themselves.
const Actions = Schema.mutable(
  Schema.Array(Schema.Union([Schema.String, Schema.Struct({ _: Schema.Literal("command"), command: Schema.String })]))
)
const Gmrc = Schema.fromJsonString(
  Schema.Struct({ blankMigrationContent: Schema.String, beforeAllMigrations: Actions, afterReset: Actions })
)

/** What `.gmrc` says. */
export const readGmrc = Effect.tryPromise({
  try: async () => Schema.decodeUnknownSync(Gmrc)(await fs.readFile(path.join(root, ".gmrc"), "utf8")),
  catch: (cause) => new MigrationError({ message: `.gmrc can't be read: ${String(cause)}` })
})

export interface MigrationTarget {
  /** Connects as somebody who may create roles, or as a member of the roles once they exist. */
  readonly url: string
  /** A scratch database for `commit`, emptied and rebuilt; only development has one. */
  readonly shadowUrl?: string
  /** A superuser's connection, for `reset`; only development has one. */
  readonly rootUrl?: string
  /** The folder of the migrations; ours unless said otherwise. */
  readonly folder?: string
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
export const migrationSettings = (target: MigrationTarget) =>
  Effect.map(readGmrc, (gmrc): migrations.Settings => {
    // The queue's installer is a command of a dependency; npm scripts find it by PATH, `node src/main.ts` by this.
    process.env["PATH"] = `${path.join(root, "node_modules/.bin")}${path.delimiter}${process.env["PATH"] ?? ""}`
    return {
      ...gmrc,
      migrationsFolder: target.folder ?? path.join(root, "migrations"),
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

const failed = (cause: unknown) =>
  new MigrationError({
    message: cause instanceof Error ? cause.message : String(cause),
    isHeldUp: Predicate.hasProperty(cause, "code") && cause.code === "55P03"
  })

/*
 * graphile-migrate keeps its connections for a moment after its work, and ends the process when one of them is lost:
 * silently, if whoever started the server stops it right then. So it is left to end, and its connections are closed.
 */
const toTheEnd =
  <A>(run: (settings: migrations.Settings) => Promise<A>) =>
  (target: MigrationTarget) =>
    Effect.flatMap(migrationSettings(target), (settings) =>
      Effect.tryPromise({ try: () => run(settings), catch: failed }).pipe(
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

/** Applies every committed migration that the database lacks. Safe to call again, and by several at once. */
export const migrate = toTheEnd((settings) => migrations.migrate(settings))

/** `migrate`, then the migration being written (migrations/current.sql): what tests run against. */
export const migrateToCurrent = toTheEnd((settings) => migrations.current(settings))

/** What the database lacks, and whether a migration is being written: the blank one isn't. */
export const migrationStatus = toTheEnd(async (settings) => {
  const { remainingMigrations = [] } = await migrations.status(settings)
  const text = await fs.readFile(currentMigration, "utf8")
  return { missing: remainingMigrations, isWriting: text.trim() !== settings.blankMigrationContent?.trim() }
})
