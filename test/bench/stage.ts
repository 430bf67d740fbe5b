/** The database of the benchmark: an embedded PostgreSQL in a temporary folder, migrated and filled. */
import * as fs from "node:fs/promises"
import * as os from "node:os"
import * as path from "node:path"
import { Effect, type Scope } from "effect"
import pg from "pg"
import { embeddedPostgres } from "../../src/database/embedded.ts"
import { migrateToCurrent } from "../../src/database/migrate.ts"

// As on a small server. Durability is the default: fsync, full_page_writes and synchronous_commit stay on.
const settings = ["shared_buffers=512MB", "max_wal_size=4GB", "checkpoint_timeout=15min"]

const inFolder = Effect.acquireRelease(
  Effect.promise(() => fs.mkdtemp(path.join(os.tmpdir(), "mana-credits-bench-"))),
  (folder) => Effect.promise(() => fs.rm(folder, { recursive: true, force: true }))
)

const connected = (url: string) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const client = new pg.Client({ connectionString: url })
      await client.connect()
      return client
    }),
    (client) => Effect.promise(() => client.end())
  )

/** What limit and by hand write to: the least that a ledger needs, with the hot table's room on its pages. */
const plainTables = `
  create schema bench;
  create table bench.balances (
    user_id text primary key, balance bigint not null, total_spent bigint not null default 0
  ) with (fillfactor = 70);
  create table bench.transactions (
    id uuid primary key default uuidv7(), user_id text not null, amount bigint not null,
    balance_before bigint not null, balance_after bigint not null, app_id text not null, description text not null,
    created_at timestamptz not null default now()
  );
  create index on bench.transactions (user_id, id);
  create table bench.hand_balances (like bench.balances including all) with (fillfactor = 70);
  create table bench.hand_transactions (like bench.transactions including all);
  create table bench.hand_keys (user_id text not null, key text not null, primary key (user_id, key));`

export interface Stage {
  readonly url: string
  /** One statement, as a superuser. */
  readonly query: (text: string, values?: ReadonlyArray<unknown>) => Promise<ReadonlyArray<Record<string, unknown>>>
  /** Another database of the same server, migrated and empty. */
  readonly anotherUrl: string
  /** Makes one that isn't migrated, and answers with its address. */
  readonly newDatabase: (name: string) => Promise<string>
  readonly version: string
}

const credits = 1_000_000_000

/** Users `user-1` … `user-<count>`, each with credits enough. */
const fill = async (client: pg.Client, prefix: string, from: number, to: number, amount: number) => {
  await client.query(
    "insert into credits.balances (user_id) select $1::text || i from generate_series($2::int, $3::int) i",
    [prefix, from, to]
  )
  await client.query(
    `select cardinality(credits.post_many(array_agg(row(
       $1 || i, row('grant', $4::bigint, 'promotions', null, 'bench', null, null, null, 'bench', null)
     )::credits.user_posting), now()))
     from generate_series($2::int, $3::int) i`,
    [prefix, from, to, amount]
  )
}

/** Many users in sets of 10,000. */
export const fillMany = async (client: pg.Client, prefix: string, count: number, amount: number) => {
  for (let from = 1; from <= count; from += 10_000) {
    await fill(client, prefix, from, Math.min(count, from + 9_999), amount)
  }
}

export const stage = (users: number): Effect.Effect<Stage & { readonly client: pg.Client }, Error, Scope.Scope> =>
  Effect.gen(function* () {
    const dataDir = yield* inFolder
    const server = yield* embeddedPostgres({ dataDir, settings })
    const admin = yield* connected(server.url("postgres"))
    yield* Effect.promise(() => admin.query("create database bench"))
    yield* migrateToCurrent({ url: server.url("bench") })
    yield* Effect.promise(() => admin.query("create database reads template bench"))
    const client = yield* connected(server.url("bench"))
    yield* Effect.promise(async () => {
      await fillMany(client, "user-", users, credits)
      await client.query(plainTables)
      for (const table of ["balances", "hand_balances"]) {
        await client.query(
          `insert into bench.${table} (user_id, balance)
           select 'user-' || i, $2::bigint from generate_series(1, $1::int) i`,
          [users, credits]
        )
      }
      await client.query("vacuum analyze")
      await client.query("checkpoint")
      // The share of HOT updates is the load's, not the filling's.
      await client.query("select pg_stat_force_next_flush()")
      await client.query("select pg_stat_reset()")
    })
    const query = async (text: string, values: ReadonlyArray<unknown> = []) => {
      const { rows } = await client.query(text, [...values])
      return rows
    }
    const [row] = yield* Effect.promise(() => query("show server_version"))
    return {
      url: server.url("bench"),
      anotherUrl: server.url("reads"),
      newDatabase: async (name) => {
        await admin.query(`create database ${name}`)
        return server.url(name)
      },
      client,
      query,
      version: String(row?.["server_version"])
    }
  })
