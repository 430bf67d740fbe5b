/** One connection driven step by step, so that a race is a test with explicit steps. */
import pg from "pg"
import { onTestFinished } from "vitest"
import { type Arguments, refusalOf, statement, type TestDatabase } from "./database.ts"
import type { Role } from "./names.ts"
import { eventually } from "./wait.ts"

export interface Session {
  readonly pid: number
  readonly query: (text: string, values?: ReadonlyArray<unknown>) => Promise<ReadonlyArray<Record<string, unknown>>>
  /** Calls a function and answers with its answer, or with the refusal: a step that waits is one that isn't awaited. */
  readonly call: (functionName: string, args: Arguments) => Promise<unknown>
  /** Until the server says that this session waits for a lock of the other one. */
  readonly waitsFor: (other: { readonly pid: number }) => Promise<void>
}

/** Somebody else's locks, taken by one statement and kept until they are released or the test is over. */
export const holding = async (db: TestDatabase, text: string, values: ReadonlyArray<unknown> = []) => {
  const holder = await db.pool.connect()
  const { rows } = await holder.query("select pg_backend_pid() as pid")
  await holder.query("begin")
  await holder.query(text, [...values])
  let isOver = false
  const release = async () => {
    if (isOver) return
    isOver = true
    await holder.query("commit")
    holder.release()
  }
  onTestFinished(release)
  const pid: number = rows[0].pid
  return { pid, query: (more: string) => holder.query(more), release }
}

/** A session of its own within a test; it ends with the test, its transaction rolled back if still open. */
export const session = async (db: TestDatabase, role: Role = "mana_service"): Promise<Session> => {
  const client = new pg.Client({ connectionString: db.urlAs(role) })
  await client.connect()
  onTestFinished(() => client.end())
  const query = async (text: string, values: ReadonlyArray<unknown> = []) => {
    const { rows } = await client.query(text, [...values])
    return rows
  }
  const [backend] = await query("select pg_backend_pid() as pid")
  const pid: number = backend.pid
  return {
    pid,
    query,
    call: (functionName, args) =>
      client.query(statement(functionName, args)).then(({ rows }): unknown => rows[0].answer, refusalOf),
    waitsFor: async (other) => {
      // Directly, or behind others who wait for it: who queues first is the scheduler's choice.
      await eventually(
        async () => {
          const [row] = await db.query(
            `with recursive waiting (pid) as (
               select unnest(pg_blocking_pids($1))
               union
               select unnest(pg_blocking_pids(w.pid)) from waiting w
             )
             select array_agg(pid) as pids from waiting`,
            [pid]
          )
          return row?.["pids"] ?? []
        },
        (pids) => pids.includes(other.pid)
      )
    }
  }
}

/** A session that no index gives an order for nothing: rows come as they lie in their table, unless somebody sorts. */
export const unindexed = async (db: TestDatabase, role: Role = "mana_service"): Promise<Session> => {
  const made = await session(db, role)
  for (const scan of ["indexscan", "indexonlyscan", "bitmapscan"]) await made.query(`set enable_${scan} = off`)
  return made
}

/** What a statement has the server's log say besides its answer. */
export const warningsOf = async (db: TestDatabase, text: string, values: ReadonlyArray<unknown> = []) => {
  const client = await db.pool.connect()
  const warnings: Array<string | undefined> = []
  const note = ({ message }: { readonly message?: string | undefined }) => void warnings.push(message)
  client.on("notice", note)
  try {
    await client.query(text, [...values])
  } finally {
    client.off("notice", note)
    client.release()
  }
  return warnings
}
