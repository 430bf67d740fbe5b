/** Clients at work, trouble meanwhile, and the reckoning afterwards. */
import * as fs from "node:fs/promises"
import { check } from "./checker.ts"
import { readJournal } from "./journal.ts"
import { field, text } from "./lane.ts"
import { readLedger } from "./ledger.ts"
import { badManners, figures, operations } from "./operations.ts"
import type { Outcome } from "./scenario.ts"
import { bound, type Stage } from "./stage.ts"
import { until } from "./wait.ts"

export interface LoadOptions {
  readonly processes: number
  readonly lanes: number
  /** Milliseconds between two things that a client does, at most. */
  readonly pause?: number
  /** Whether connections to the service may break. */
  readonly mayLose?: boolean
  /** Answers that are in order besides those of a healthy day. */
  readonly besides?: ReadonlyArray<number>
}

export interface Trouble {
  readonly facts: Readonly<Record<string, string | number>>
  readonly wrong?: ReadonlyArray<string>
}

const entriesOf = (stage: Stage) => stage.journals().flatMap((file) => [...readJournal(file)])

/** What the service said went wrong by its own fault: with a 500 one wants to know. */
const complaints = async (stage: Stage) => {
  const logs = await Promise.all(stage.services.map(({ log }) => fs.readFile(log, "utf8")))
  const lines = logs.flatMap((each) => each.split("\n"))
  return lines.filter((line) => /by our fault|The books are wrong|^\s*(\w*Error|node:internal)/.test(line))
}

/** Lets what is under way come to its end: paid purchases their credits, due subscriptions their charge. */
const settle = async (stage: Stage) => {
  const paid = [...operations(entriesOf(stage)).values()]
    .filter(({ request, done }) => request.kind === "pay" && done !== undefined)
    .map(({ request }) => text(request.body, "purchaseId"))
  for (const { origin } of stage.services) {
    await until(
      "the service is ready in the end",
      () => stage.ready(origin),
      (status) => status === 200
    )
  }
  await stage.admin(async (client) => {
    const add = (task: string) => client.query("select graphile_worker.add_job($1, max_attempts => 3)", [task])
    await add("charge_sync")
    // Webhooks that fell into a gap are Stripe's list's to tell; a worker reads it, every five minutes by itself.
    await until(
      "everything paid is credited and everything due is charged",
      async () => {
        const { rows } = await client.query<{ readonly open: string; readonly due: string; readonly jobs: string }>(
          `select
             (select count(*) from credits.purchases p where p.id = any ($1) and p.status <> 'completed') as open,
             (select count(*) from credits.sync_subscriptions s where s.next_charge_at <= now() - interval '5 s') as due,
             (select count(*) from graphile_worker.jobs j where j.task_identifier = 'reconcile_payments'
              and j.key is null) as jobs`,
          [paid]
        )
        const [left] = rows
        if (left?.open !== "0" && left?.jobs === "0") await add("reconcile_payments")
        return left
      },
      (left) => left?.open === "0" && left.due === "0" && left.jobs === "0",
      60_000
    )
  })
}

/** Everything that must hold when the dust has settled. */
export const reckon = async (stage: Stage, manners: Pick<LoadOptions, "mayLose" | "besides">): Promise<Outcome> => {
  await settle(stage)
  const entries = entriesOf(stage)
  const { ledger, broken } = await stage.admin(async (client) => ({
    ledger: await readLedger(client),
    broken: (await client.query("select invariant, user_id, detail from ops.verify()")).rows
  }))
  return {
    facts: {
      ...figures(entries),
      "ledger rows": ledger.rows.length,
      "purchases credited": ledger.purchases.filter(({ status }) => status === "completed").length,
      "sync periods charged": ledger.charges.length,
      "ops.verify()": broken.length === 0 ? "empty" : `${broken.length} rows`
    },
    wrong: [
      ...badManners(entries, { bound, mayLose: false, ...manners }),
      ...check(entries, ledger),
      ...broken.map(
        (row: unknown) =>
          `ops.verify(): ${text(row, "invariant")} ${text(row, "user_id")} ${JSON.stringify(field(row, "detail"))}`
      ),
      ...(await complaints(stage)).slice(0, 10).map((line) => `the service's log: ${line.slice(0, 2000)}`)
    ]
  }
}

const mostShown = 20

export const underLoad = async (
  stage: Stage,
  { processes, lanes, pause, ...manners }: LoadOptions,
  trouble: () => Promise<Trouble>
): Promise<Outcome> => {
  const clients = stage.startClients(processes, lanes, pause)
  stage.task.say(`${processes * lanes} clients in ${processes} processes at work`)
  const made = await trouble()
  await clients.stop()
  const outcome = await reckon(stage, manners)
  const wrong = [...(made.wrong ?? []), ...outcome.wrong]
  return {
    facts: { ...made.facts, clients: processes * lanes, ...outcome.facts },
    wrong: wrong.length > mostShown ? [...wrong.slice(0, mostShown), `… and ${wrong.length - mostShown} more`] : wrong
  }
}
