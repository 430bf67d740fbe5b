/** A charge run of Cloud Sync as the worker does it: rounds of sync.charge_due on one connection. */
import pg from "pg"
import { fillMany } from "./stage.ts"

const dueAt = "2027-01-31T10:00:00.000Z"
const now = "2027-01-31T11:00:00.000Z"

const backendKb = async (client: pg.Client, pid: number) => {
  const { rows } = await client.query(
    "select coalesce((regexp_match(pg_read_file($1), 'RssAnon:\\s+(\\d+)'))[1], '0') as kb",
    [`/proc/${pid}/status`]
  )
  return Number(rows[0]?.kb)
}

export const billing = async (client: pg.Client, url: string, due: number) => {
  await fillMany(client, "subscriber-", due, 1000)
  await client.query(
    `insert into credits.sync_subscriptions
       (user_id, status, interval, anchor, months_paid, next_charge_at, created_at, updated_at)
     select 'subscriber-' || i, 'active', 'monthly', $2, 0, $2, $2, $2 from generate_series(1, $1::int) i`,
    [due, dueAt]
  )
  await client.query("vacuum analyze")
  const worker = new pg.Client({ connectionString: url, options: "-c role=mana_worker" })
  await worker.connect()
  const { rows } = await worker.query("select pg_backend_pid() as pid")
  const memoryKb: Array<number> = []
  const from = performance.now()
  let charged = 0
  for (let round = 0; ; round++) {
    const answer = await worker.query({
      name: "charge",
      text: "select sync.charge_due(p_now => $1, p_limit => 1000) as answer",
      values: [now]
    })
    charged += answer.rows[0].answer.charged
    if (round % 10 === 1) memoryKb.push(await backendKb(client, rows[0].pid))
    if (answer.rows[0].answer.total < 1000) break
  }
  const seconds = (performance.now() - from) / 1000
  await worker.end()
  if (charged !== due) throw new Error(`${charged} charged of ${due} due`)
  return {
    due,
    perSecond: charged / seconds,
    seconds,
    backendMbFirst: (memoryKb[0] ?? 0) / 1024,
    backendMbLast: (memoryKb.at(-1) ?? 0) / 1024
  }
}
