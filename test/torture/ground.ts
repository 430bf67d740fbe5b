/** A migrated database for scenarios to stand on: a cluster of their own, or a test file's clone. */
import * as path from "node:path"
import { Effect, Exit, Scope } from "effect"
import pg from "pg"
import { embeddedPostgres } from "../../src/database/embedded.ts"
import { migrateToCurrent } from "../../src/database/migrate.ts"
import { login, type Role, roles } from "../support/names.ts"
import type { Task } from "./scenario.ts"

export interface Ground {
  /** As a superuser. */
  readonly url: string
  /** As a login that is a member of this role and of nothing else. */
  readonly urlAs: (role: Role) => string
}

export const withName = (url: string, database: string) => {
  const changed = new URL(url)
  changed.pathname = `/${database}`
  return changed.href
}

const as = (url: string, role: Role) => {
  const changed = new URL(url)
  changed.username = login(role)
  changed.password = login(role)
  return changed.href
}

/** One statement after the other, as a superuser. */
export const execute = async (url: string, ...statements: ReadonlyArray<string>) => {
  const client = new pg.Client({ connectionString: url })
  client.on("error", () => undefined)
  await client.connect()
  try {
    for (const statement of statements) await client.query(statement)
  } finally {
    await client.end()
  }
}

export interface GroundOptions {
  /** Server settings as `name=value`. Durability is the default: fsync, full_page_writes, synchronous_commit stay on. */
  readonly settings?: ReadonlyArray<string>
  /** How the database comes to its schema; by default it is brought to the migration being written. */
  readonly prepare?: (url: string) => Promise<unknown>
}

/** Starts PostgreSQL in the scenario's folder; it ends with the scenario. */
export const makeGround = async (task: Task, options: GroundOptions = {}): Promise<Ground> => {
  const scope = Effect.runSync(Scope.make())
  task.onEnd(() => Effect.runPromise(Scope.close(scope, Exit.void)))
  const server = await Effect.runPromise(
    embeddedPostgres({
      dataDir: path.join(task.folder, "server"),
      settings: ["shared_buffers=256MB", ...(options.settings ?? [])]
    }).pipe(Effect.provideService(Scope.Scope, scope))
  )
  await execute(server.url("postgres"), "create database torture")
  const url = server.url("torture")
  await (options.prepare ?? ((to) => Effect.runPromise(migrateToCurrent({ url: to }))))(url)
  await execute(
    url,
    ...roles.map((role) => `create role ${login(role)} login password '${login(role)}' in role ${role}`)
  )
  return { url, urlAs: (role) => as(url, role) }
}
