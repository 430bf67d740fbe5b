/** One real PostgreSQL for the whole test run, with one migrated template database that test files clone. */
import * as fs from "node:fs/promises"
import * as os from "node:os"
import * as path from "node:path"
import { Effect, Exit, Scope } from "effect"
import pg from "pg"
import type { TestProject } from "vitest/node"
import { embeddedPostgres } from "../../src/database/embedded.ts"
import { migrateToCurrent } from "../../src/database/migrate.ts"
import { login, roles, template } from "./names.ts"

declare module "vitest" {
  interface ProvidedContext {
    /** The run's server as a superuser, `/postgres`; a clone's address differs in the path only. */
    readonly serverUrl: string
    /** The database that each test file clones. */
    readonly template: string
  }
}

const settings = [
  // Durability stays as in production (the service refuses to start without); only checkpoints are kept out of the way.
  "checkpoint_timeout=1h",
  "max_wal_size=4GB",
  "shared_buffers=256MB",
  "autovacuum_naptime=1h",
  // Every test file has pools of its own.
  "max_connections=400",
  // A statement that waits for a lock nobody lets go of should fail its own test, not the run.
  "lock_timeout=15s"
]

const prepare = async (url: string) => {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    for (const role of roles) {
      await client.query(`create role ${login(role)} login password '${login(role)}' in role ${role}`)
    }
    await client.query(`alter database ${template} with is_template true allow_connections false`)
  } finally {
    await client.end()
  }
}

const createTemplate = async (url: string) => {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(`create database ${template}`)
  } finally {
    await client.end()
  }
}

/** A server in this folder that holds the migrated template. */
export const startServer = (folder: string, more: ReadonlyArray<string> = []) =>
  Effect.gen(function* () {
    const server = yield* embeddedPostgres({ dataDir: folder, settings: [...settings, ...more] })
    const url = server.url("postgres")
    yield* Effect.promise(() => createTemplate(url))
    yield* migrateToCurrent({ url: server.url(template) })
    yield* Effect.promise(() => prepare(url))
    return url
  })

/** Called by vitest before the first test file; what it returns is called after the last. */
export default async (project: TestProject) => {
  // Somebody else's server, with a template that was changed on purpose: test/mutation.
  const { MANA_TEST_SERVER: serverUrl, MANA_TEST_TEMPLATE: changed } = process.env
  project.provide("template", changed ?? template)
  if (serverUrl !== undefined) return project.provide("serverUrl", serverUrl)

  const scope = await Effect.runPromise(Scope.make())
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), "mana-credits-test-"))
  const teardown = async () => {
    await Effect.runPromise(Scope.close(scope, Exit.void))
    await fs.rm(folder, { recursive: true, force: true })
  }
  try {
    project.provide("serverUrl", await Effect.runPromise(Scope.provide(startServer(folder), scope)))
    return teardown
  } catch (error) {
    await teardown()
    throw error
  }
}
