/** Fault 3, the third: no connection is free, neither in the service's pool nor in PostgreSQL itself. */
import pg from "pg"
import { randomFrom } from "../../src/dev/stripe/faults.ts"
import { underLoad } from "./load.ts"
import type { Scenario } from "./scenario.ts"
import { openStage, type Stage } from "./stage.ts"
import { sleep, until } from "./wait.ts"

const patience = { connectionTimeoutMillis: 2000 }

/** Somebody else's connections, as many as the server lets in; all closed at the end. */
const hoard = async (url: string, most: number) => {
  const clients: Array<pg.Client> = []
  for (let count = 0; count < most; count += 1) {
    const client = new pg.Client({ connectionString: url, ...patience })
    client.on("error", () => undefined)
    try {
      await client.connect()
      clients.push(client)
    } catch {
      break
    }
  }
  return { count: clients.length, end: () => Promise.all(clients.map((client) => client.end())) }
}

/** Keeps everybody's balance to itself: whoever wants one waits, and the pool with it. */
const lockBalances = async (url: string, milliseconds: number) => {
  const client = new pg.Client({ connectionString: url })
  client.on("error", () => undefined)
  await client.connect()
  await client.query("begin")
  await client.query("select from credits.balances where user_id like 'user-%' order by user_id for update")
  await sleep(milliseconds)
  await client.query("rollback")
  await client.end()
}

export interface ExhaustOptions {
  /** Milliseconds for which nothing is free, at most. */
  readonly most: number
}

export const exhaustPool = async (stage: Stage, milliseconds: number, { most }: ExhaustOptions) => {
  const random = randomFrom(stage.task.seed)
  const pids = stage.services.map((service) => service.process().pid)
  let locks = 0
  let hoards = 0
  let hoarded = 0
  const deadline = performance.now() + milliseconds
  do {
    await lockBalances(stage.postgres.url("torture"), most * (0.5 + random() / 2))
    locks += 1
    await sleep(500)
    const { count, end } = await hoard(stage.hoarderUrl, 400)
    // Those that the service has are ended, so that it must ask for new ones and gets none.
    await stage.admin((client) =>
      client.query(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'mana-credits%' and random() < 0.8"
      )
    )
    const more = await hoard(stage.hoarderUrl, 400)
    hoards += 1
    hoarded = Math.max(hoarded, count + more.count)
    await sleep(most * (0.5 + random() / 2))
    await end()
    await more.end()
    for (const { origin } of stage.services) {
      await until(
        "ready again by itself when connections are free",
        () => stage.ready(origin),
        (status) => status === 200
      )
    }
    stage.task.say(`${locks} times every balance was locked, ${hoards} times every connection taken`)
  } while (performance.now() < deadline)
  const wrong = stage.services.flatMap((service, index) =>
    service.process().isOver() || service.process().pid !== pids[index] ? ["the service ended by itself"] : []
  )
  return {
    facts: {
      "times every balance was locked and the pool full": locks,
      "times somebody else took every connection": hoards,
      "connections taken at most": hoarded
    },
    wrong
  }
}

export const scenario: Scenario = {
  name: "exhaust-pool",
  about: "every balance locked until the pool is full, and somebody else on every connection that PostgreSQL has",
  minutes: 2,
  run: async (task) => {
    const stage = await openStage(task, {
      services: 2,
      env: { DATABASE_MAX_CONNECTIONS: "5" },
      settings: ["max_connections=60"]
    })
    return underLoad(stage, { processes: 4, lanes: 8 }, () => exhaustPool(stage, task.milliseconds, { most: 12_000 }))
  }
}
