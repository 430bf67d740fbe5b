/**
 * Many clients on few accounts, everything that moves credits at once and in opposing orders: nobody ever waits for
 * somebody who waits for them. Postgres counts the deadlocks; its counter must not move.
 */
import pg from "pg"
import { ask, sqlstateOf } from "../sql.ts"
import type { Ground } from "../ground.ts"
import { type Random, randomOf } from "../random.ts"
import type { Outcome } from "../scenario.ts"
import { type Act, actsOf, app, type Answer, newMarket } from "./acts.ts"

export interface Door {
  readonly url: string
  readonly serviceKey: string
}

export interface Plan {
  readonly seed: number
  readonly milliseconds: number
  /** On a slow machine it goes on until so many kinds of call were seen, for ten times as long at most. */
  readonly kinds?: number
  readonly accounts: number
  /** Each with a connection of its own. */
  readonly clients: number
  /** Clients that come through HTTP instead, and where to. */
  readonly throughHttp: number
  readonly door: Door
  readonly say: (line: string) => void
}

/** An hour of the accounts' time in this many milliseconds of ours: holds, gifts and periods of sync run out. */
const hour = 20

/** Refusals are answers. A batch of strangers that met a lock is given up whole (55P03) and sent again item by item. */
const isExpected = (act: string, sqlstate: string) =>
  /^CR[0-4]\d\d$/.test(sqlstate) || (act === "credits.use_many" && sqlstate === "55P03")

const deadlocks = async (client: pg.Client) => {
  const { rows } = await client.query(
    "select deadlocks::int as count from pg_stat_database where datname = current_database()"
  )
  const count: number = rows[0].count
  return count
}

export const crossing = async (ground: Ground, plan: Plan): Promise<Outcome> => {
  const admin = new pg.Client({ connectionString: ground.url })
  await admin.connect()
  const userIds = Array.from({ length: plan.accounts }, (_, index) => `crossing-${index}`)
  for (const userId of userIds)
    await ask(admin, "credits.grant", { userId, amount: 300, reason: "a", referenceId: "a" })
  const { rows: keys } = await admin.query(
    `select (ops.create_service_key('crossing', '{use, reserve}', 'crossin' || i,
       sha256(i::text::bytea), 'Ada', p_daily_cap => 500)).id
     from generate_series(1, 2) i`
  )
  const before = await deadlocks(admin)

  const since = Date.now()
  const market = newMarket(
    userIds,
    keys.map(({ id }) => String(id)),
    () => new Date(since + ((Date.now() - since) / hour) * 3_600_000)
  )
  const begun = performance.now()
  const isOver = () => {
    const milliseconds = performance.now() - begun
    return milliseconds > (counts.size > (plan.kinds ?? 0) ? 1 : 10) * plan.milliseconds
  }
  const counts = new Map<string, number>()
  const outcomes = new Map<string, number>()
  const surprises = new Map<string, number>()
  const count = (map: Map<string, number>, what: string) => void map.set(what, (map.get(what) ?? 0) + 1)
  const charged = new Set<string>()

  const note = (act: string, outcome: string) => {
    count(counts, act)
    count(outcomes, outcome)
    if (outcome !== "answered" && !isExpected(act, outcome)) count(surprises, `${act}: ${outcome}`)
  }
  const acknowledge = (name: string, answer: Answer) => {
    if (name === "credits.use") charged.add(answer.transaction.id)
    if (name === "credits.commit") charged.add(answer.transactionId)
    if (name === "credits.use_many") {
      for (const result of answer.results) if (result.ok) charged.add(result.transaction.id)
    }
  }
  const perform = async (act: Act, client: pg.Client) => {
    const answer: Answer = await ask(client, act.name, act.args)
    acknowledge(act.name, answer)
    act.keep?.(answer)
  }

  /** As an app or a person does it: one thing after the other, on a connection of its own. */
  const clientLoop = async (index: number) => {
    const random = randomOf(plan.seed * 1000 + index)
    const next = actsOf(market, random)
    const connections: ReadonlyArray<pg.Client> = [
      new pg.Client({ connectionString: ground.urlAs("mana_service"), application_name: "crossing" }),
      new pg.Client({ connectionString: ground.urlAs("mana_ops"), application_name: "crossing by hand" })
    ]
    const [service, person] = connections
    if (service === undefined || person === undefined) return
    await Promise.all(connections.map((each) => each.connect()))
    try {
      while (!isOver()) {
        const act = next()
        const outcome = await perform(act, act.byHand === true ? person : service).then(() => "answered", sqlstateOf)
        note(act.name, outcome)
      }
    } finally {
      await Promise.all(connections.map((each) => each.end()))
    }
  }

  const post = async (path: string, body: object) => {
    const response = await fetch(`${plan.door.url}/api/v1/internal/credits/${path}`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        "x-service-key": plan.door.serviceKey,
        "x-app-id": app
      },
      body: JSON.stringify(body)
    })
    const answer: Answer = JSON.parse(await response.text())
    note(`POST ${path}`, response.status < 500 ? "answered" : String(response.status))
    return response.status === 200 ? answer : undefined
  }
  const httpAct = async ({ below, pick, shuffled }: Random) => {
    const debit = (userId: string) => ({ userId, amount: 1 + below(5), appId: app, description: "crossing" })
    switch (below(4)) {
      case 0: {
        const answer = await post("use-batch", { items: shuffled(userIds).map(debit) })
        if (answer !== undefined) acknowledge("credits.use_many", answer)
        return
      }
      case 1: {
        const hold = await post("reserve", { userId: pick(userIds), amount: 1 + below(9), reason: "crossing" })
        if (hold === undefined) return
        const committed = await post("commit", { reservationId: hold.reservationId, amount: 1 })
        if (committed !== undefined) acknowledge("credits.commit", committed)
        return
      }
      case 2:
        await post("refund", { userId: pick(userIds), amount: 1 + below(3), description: "crossing" })
        return
      default: {
        const answer = await post("use", debit(pick(userIds)))
        if (answer !== undefined) acknowledge("credits.use", answer)
      }
    }
  }
  const httpLoop = async (index: number) => {
    const random = randomOf(plan.seed * 1000 + 500 + index)
    while (!isOver()) await httpAct(random)
  }

  await Promise.all([
    ...Array.from({ length: plan.clients - plan.throughHttp }, (_, index) => clientLoop(index)),
    ...Array.from({ length: plan.throughHttp }, (_, index) => httpLoop(index))
  ])

  const took = performance.now() - begun
  const wrong = [...surprises].map(([what, times]) => `${times} times ${what}`)
  await admin.query("select pg_stat_force_next_flush()")
  const moved = (await deadlocks(admin)) - before
  if (moved !== 0) wrong.push(`${moved} deadlocks`)
  const { rows: broken } = await admin.query("select * from ops.verify()")
  for (const row of broken.slice(0, 20)) wrong.push(`ops.verify(): ${JSON.stringify(row)}`)

  // Every charge that was acknowledged is there, and none besides.
  const { rows: ledger } = await admin.query(
    "select id from credits.transactions where type = 'usage' and app_id = $1",
    [app]
  )
  const booked = new Set(ledger.map(({ id }) => String(id)))
  const lost = [...charged].filter((id) => !booked.has(id)).length
  if (lost > 0) wrong.push(`${lost} charges acknowledged and not in the ledger`)
  if (booked.size !== charged.size) wrong.push(`${booked.size} charges in the ledger, ${charged.size} acknowledged`)
  const { rows: sums } = await admin.query(
    `select b.user_id, b.balance::text, sum(t.amount)::text as ledger
     from credits.balances b join credits.transactions t using (user_id) group by 1, 2 having b.balance <> sum(t.amount)`
  )
  for (const row of sums) wrong.push(`a balance that isn't its ledger's sum: ${JSON.stringify(row)}`)
  await admin.end()

  const total = [...counts.values()].reduce((sum, each) => sum + each, 0)
  for (const [what, times] of [...counts].toSorted((a, b) => b[1] - a[1])) plan.say(`${what}: ${times}`)
  return {
    facts: {
      clients: plan.clients,
      "of them through HTTP": plan.throughHttp,
      accounts: plan.accounts,
      "kinds of call": counts.size,
      calls: total,
      "calls a second": Math.round((total * 1000) / took),
      ...Object.fromEntries([...outcomes].toSorted().map(([outcome, times]) => [`came to ${outcome}`, times])),
      "charges acknowledged": charged.size,
      deadlocks: moved
    },
    wrong
  }
}
