/**
 * Fault 4: two versions of the service at once on one database. The next version's tables and functions come while the
 * present one is at work; the next one refuses to start before them, and works beside the present one after them.
 */
import * as fs from "node:fs/promises"
import * as path from "node:path"
import type pg from "pg"
import { askAgain, serviceKey } from "./again.ts"
import { readJournal } from "./journal.ts"
import { type Trouble, underLoad } from "./load.ts"
import { addMigration, copyProject, writeFunction } from "./next.ts"
import { operations } from "./operations.ts"
import { stablePort } from "./ports.ts"
import { startNode } from "./processes.ts"
import { use } from "./requests.ts"
import type { Scenario, Task } from "./scenario.ts"
import { openStage, type Stage } from "./stage.ts"
import { sleep, until } from "./wait.ts"

const login = "torture_app"
const database = "torture"

/** Columns on tables that every debit writes, and an index. */
const nextMigration = `
  set local role mana_owner;
  alter table credits.balances add column note text;
  alter table credits.reservations add column note text;
  create index reservations_note_idx on credits.reservations (note);
  reset role;`

const replaced = (text: string, from: string, to: string) => {
  if (!text.includes(from)) throw new Error(`credits/use.sql doesn't hold ${JSON.stringify(from)}`)
  return text.replace(from, to)
}

/** The next version: its migration, a new function, one argument more for a function in use, and the others anew. */
const makeNext = async (to: string) => {
  await copyProject(to)
  await addMigration(to, nextMigration)
  const definition = await fs.readFile(path.join(to, "sql/credits/use.sql"), "utf8")
  const withNote = replaced(
    replaced(
      definition,
      "p_now timestamptz default now()\n)",
      "p_now timestamptz default now(),\n  p_note text default null\n)"
    ),
    "timestamptz) is",
    "timestamptz, text) is"
  )
  await writeFunction(to, "credits/use.sql", withNote)
  await writeFunction(
    to,
    "ops/next.sql",
    "create or replace function ops.next() returns integer language sql as 'select 1';"
  )
}

/** The functions in the database are the next version's: the new one is there, the old overload isn't. */
const functionsOf = async (client: pg.Client) => {
  const { rows } = await client.query(
    `select p.proname as name, p.proargnames::text like '%p_note%' as "isNext"
     from pg_proc p where p.oid in (
       select p.oid from pg_proc p join pg_namespace n on n.oid = p.pronamespace
       where (n.nspname, p.proname) in (('credits', 'use'), ('ops', 'next'))
     ) order by 1`
  )
  return JSON.stringify(rows)
}

const nextFunctions = JSON.stringify([
  { name: "next", isNext: null },
  { name: "use", isNext: true }
])

/** Until it is over: whether it ended well, how long it took, and what it said. */
const finish = async (task: Task, args: ReadonlyArray<string>, env: Readonly<Record<string, string>>, name: string) => {
  const log = path.join(task.folder, `${name}.log`)
  const since = performance.now()
  const running = startNode({ args, env, log })
  task.onEnd(async () => running.kill("SIGKILL"))
  const said = () => fs.readFile(log, "utf8")
  const ended = running.ended.then(async (code) => ({
    code,
    ms: Math.round(performance.now() - since),
    text: await said()
  }))
  return { ended, said, isOver: running.isOver }
}

export const deployNext = async (
  stage: Stage,
  milliseconds: number,
  { behindReader }: { readonly behindReader: boolean }
): Promise<Trouble> => {
  const { task, postgres } = stage
  const wrong: Array<string> = []
  const next = path.join(task.folder, "next")
  await makeNext(next)
  const port = await stablePort()
  const origin = `http://127.0.0.1:${port}`
  const env = {
    DATABASE_URL: `postgres://${login}:${login}@127.0.0.1:${postgres.port}/${database}`,
    MANA_AUTH_URL: "http://127.0.0.1:1",
    MANA_SERVICE_KEY: serviceKey,
    HOST: "127.0.0.1",
    PORT: `${port}`,
    LOG_LEVEL: "Warning",
    STRIPE_SECRET_KEY: stage.stripe.apiKey,
    STRIPE_WEBHOOK_SECRET: stage.stripe.webhookSecret,
    TORTURE_STRIPE_PORT: `${stage.stripe.connection.port}`
  }
  const serve = [path.join(next, "test/torture/service.ts")]

  const early = await (await finish(task, serve, env, "next-too-early")).ended
  if (early.code === 0 || !early.text.includes("isn't migrated")) {
    wrong.push(`the next version started before its migration (${early.code}): ${early.text.slice(0, 500)}`)
  }

  const migrate = () =>
    finish(task, [path.join(next, "src/main.ts"), "migrate"], { DATABASE_URL: postgres.url(database) }, "migrate")
  /** Somebody reads the balances for a while: the migration gives way to that, and the debits don't wait for it. */
  const migrateBehindReader = () =>
    stage.admin(async (reader) => {
      await reader.query("begin")
      await reader.query("select count(*) from credits.balances")
      const { isOver, said, ended } = await migrate()
      await until(
        "the migration gives way",
        async () => isOver() || (await said()).includes("Held up by a lock"),
        (gaveWay) => gaveWay
      )
      await reader.query("commit")
      return ended
    })
  const migration = behindReader ? await migrateBehindReader() : await (await migrate()).ended
  if (migration.code !== 0) wrong.push(`the migration ended with ${migration.code}: ${migration.text.slice(0, 1000)}`)
  task.say(`migrated in ${migration.ms} ms`)
  const found = await stage.admin(functionsOf)
  if (found !== nextFunctions) wrong.push(`the next version's functions aren't those in the database: ${found}`)

  const log = path.join(task.folder, "next.log")
  const running = startNode({ args: serve, env, log })
  const end = async () => {
    running.kill("SIGKILL")
    await running.ended
  }
  task.onEnd(end)
  await until(
    "the next version is ready",
    async () => (running.isOver() ? "ended" : stage.ready(origin)),
    (status) => status === 200 || status === "ended"
  )
  if (running.isOver()) throw new Error(`the next version ended: ${await fs.readFile(log, "utf8")}`)

  // What the present version acknowledged, the next one knows, and the other way round.
  const known = operations(stage.journals().flatMap((file) => [...readJournal(file)]))
  const again = await askAgain(origin, known)
  wrong.push(...again.wrong)
  const lanes = [stage.makeOwnLane("next", [origin]), stage.makeOwnLane("present")]
  for (let index = 0; index < 20; index++) {
    const [first, second] = index % 2 === 0 ? lanes : lanes.toReversed()
    const request = use(`between-${index}`, stage.users[index % stage.users.length] ?? "", 1, `between-${index}`)
    const told = await first?.send(request, { stubborn: true })
    const toldAgain = await second?.insist(request)
    if (told?.status !== 200 || toldAgain?.headers["idempotency-replayed"] !== "true") {
      wrong.push(
        `one version answered ${told?.status}, the other ${toldAgain?.status} ${JSON.stringify(toldAgain?.body)}`
      )
    }
  }
  await sleep(milliseconds)
  await end()
  return {
    facts: {
      "the next version before its migration": early.code === 0 ? "started" : "refused to start",
      "the migration took, ms": migration.ms,
      "the next version after it": "ready",
      "answers of the present version known to the next": again.count
    },
    wrong
  }
}

export const scenario: Scenario = {
  name: "deploy",
  about: "the next version's migration under load, then two versions at once: no answer but the right one",
  minutes: 1,
  run: async (task) => {
    const stage = await openStage(task)
    return underLoad(stage, { processes: 2, lanes: 8, pause: 10 }, async () => {
      await sleep(task.milliseconds / 2)
      return deployNext(stage, task.milliseconds / 2, { behindReader: true })
    })
  }
}
