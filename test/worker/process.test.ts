import { expect, test } from "vitest"
import { database } from "../support/database.ts"
import { severalStarts, start } from "../support/program.ts"
import { eventually } from "../support/wait.ts"

const db = await database()

const worker = () =>
  start(["worker"], {
    DATABASE_URL: db.urlAs("mana_worker"),
    MANA_AUTH_URL: "http://127.0.0.1:1",
    MANA_SERVICE_KEY: "key"
  })

const jobs = () => db.query("select locked_by from graphile_worker.jobs where key is null")

test("a worker takes over what a killed one had begun", { timeout: severalStarts }, async () => {
  // Nobody can read the ledger: a job that proves the books waits.
  const client = await db.pool.connect()
  await client.query("begin; lock table credits.transactions in access exclusive mode")
  await db.query("select graphile_worker.add_job('verify_books', max_attempts => 3)")
  const killed = worker()
  await eventually(jobs, ([job]) => typeof job?.locked_by === "string", 60_000)
  killed.signal("SIGKILL")
  await killed.ended
  await client.query("rollback")
  client.release()
  expect(await jobs()).toEqual([{ locked_by: expect.any(String) }])

  const next = worker()
  await next.says('"working"')
  await eventually(jobs, (left) => left.length === 0, 60_000)
  next.signal("SIGTERM")
  expect(await next.ended).toBe(0)
  expect(next.stderr()).toBe("")
})
