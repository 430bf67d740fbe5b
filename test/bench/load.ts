/** A load generator: a process of its own, told what to do as JSON, answering with JSON. */
import { randomUUID } from "node:crypto"
import { Schema } from "effect"
import pg from "pg"
import { connect } from "./http-client.ts"
import { spread } from "./spread.ts"

const Sql = Schema.Struct({
  kind: Schema.Literals(["limit", "function"]),
  url: Schema.String,
  lanes: Schema.Number,
  seconds: Schema.Number,
  users: Schema.Number
})
const Http = Schema.Struct({
  kind: Schema.Literals(["use", "batch"]),
  port: Schema.Number,
  path: Schema.String,
  key: Schema.String,
  lanes: Schema.Number,
  seconds: Schema.Number,
  users: Schema.Number
})
export const Load = Schema.Union([Sql, Http])
export type Load = typeof Load.Type

const load = Schema.decodeUnknownSync(Schema.fromJsonString(Load))(process.argv[2])
const user = () => `user-${1 + Math.floor(Math.random() * load.users)}`
const batchSize = 100

/** What limit is measured with: bench.balances and bench.transactions, made by stage.ts. */
const limit = `
  with debited as (
    update bench.balances set balance = balance - $2, total_spent = total_spent + $2
    where user_id = $1 and balance >= $2
    returning user_id, balance
  )
  insert into bench.transactions (user_id, amount, balance_before, balance_after, app_id, description)
  select user_id, -$2::bigint, balance + $2, balance, $3, $4 from debited`

const used = `select credits.use(
  p_user_id => $1, p_amount => $2, p_app_id => $3, p_description => $4, p_idempotency_key => $5, p_caller => 'bench')`

const measureSql = async ({ kind, url, lanes, seconds }: typeof Sql.Type) => {
  const clients = Array.from(
    { length: lanes },
    () => new pg.Client({ connectionString: url, options: kind === "function" ? "-c role=mana_service" : "" })
  )
  await Promise.all(clients.map((client) => client.connect()))
  const measured = await spread(lanes, seconds, async (lane) => {
    const args = [user(), 1, "chat", "An answer"]
    await clients[lane]?.query(
      kind === "limit"
        ? { name: "limit", text: limit, values: args }
        : { name: "use", text: used, values: [...args, randomUUID()] }
    )
    return 1
  })
  await Promise.all(clients.map((client) => client.end()))
  return measured
}

const debit = () => ({
  userId: user(),
  amount: 1,
  appId: "chat",
  description: "An answer",
  idempotencyKey: randomUUID()
})

const measureHttp = async ({ kind, port, path, key, lanes, seconds }: typeof Http.Type) => {
  const clients = await Promise.all(Array.from({ length: lanes }, () => connect(port)))
  const headers = { "x-service-key": key, "x-app-id": "bench" }
  const measured = await spread(lanes, seconds, async (lane) => {
    const body = JSON.stringify(kind === "use" ? debit() : { items: Array.from({ length: batchSize }, debit) })
    const answer = await clients[lane]?.post(path, headers, body)
    if (answer?.status !== 200) throw new Error(`${answer?.status}: ${answer?.body}`)
    if (kind === "batch" && answer.body.includes('"ok":false')) throw new Error(answer.body.slice(0, 500))
    return kind === "use" ? 1 : batchSize
  })
  for (const client of clients) client.close()
  return measured
}

const measured = await ("url" in load ? measureSql(load) : measureHttp(load))
process.stdout.write(JSON.stringify(measured))
