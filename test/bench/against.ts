/**
 * `npm run bench -- --against <checkout>`: single debits over HTTP at this checkout's service (new), at another
 * checkout's (old) and by hand, by turns in one run. Each service has its own start script, node_modules and database,
 * which its own `migrate` made; all databases are on one server.
 */
import { Console, Effect } from "effect"
import pg from "pg"
import { machine, median, perSecond, ratio, tableRow } from "./numbers.ts"
import {
  cpuSeconds,
  measure,
  migrate,
  residentMb,
  root,
  type Running,
  started,
  startByHand,
  startService
} from "./processes.ts"
import { stage } from "./stage.ts"

export interface AgainstOptions {
  /** The other checkout, migrations and node_modules included. */
  readonly checkout: string
  readonly users: number
  readonly rounds: number
  readonly seconds: number
  readonly warmUpSeconds: number
  readonly key: string
  /** Of node, for both services. */
  readonly nodeOptions: string
}

interface Round {
  readonly perSecond: number
  readonly p50: number
  readonly p99: number
  readonly cpuMicros: number
  readonly residentMb: number
  readonly startMs: number
}
type Figure = keyof Round

interface Side {
  readonly running: Running & { readonly port: number }
  readonly start: () => Promise<Running>
  readonly rounds: Array<Round>
}

const figures: ReadonlyArray<readonly [figure: Figure, name: string, digits: number]> = [
  ["perSecond", "debits a second", 0],
  ["p50", "p50, ms", 1],
  ["p99", "p99, ms", 1],
  ["cpuMicros", "CPU of the service, µs a debit", 0],
  ["residentMb", "resident after the round, MB", 0],
  ["startMs", "start-up until it listens, ms", 0]
]

const connected = async <A>(url: string, use: (client: pg.Client) => Promise<A>) => {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return await use(client)
  } finally {
    await client.end()
  }
}

/** Through the function behind the grant endpoint: inner functions may differ between the checkouts. */
const fill = (url: string, users: number) =>
  connected(url, async (client) => {
    await client.query(
      `select credits.grant('user-' || i, 1000000000, 'bench', 'bench', p_caller => 'bench')
       from generate_series(1, $1::int) i`,
      [users]
    )
    await client.query("vacuum analyze")
    await client.query("checkpoint")
  })

const verify = (url: string) =>
  connected(url, async (client) => (await client.query("select * from ops.verify()")).rows)

const table = (sides: Readonly<Record<string, ReadonlyArray<Round>>>) => {
  const of = (side: string, figure: Figure) => (sides[side] ?? []).map((round) => round[figure])
  return [
    tableRow(["median of the rounds", "new", "old", "by hand", "new/old", "new/old in each round", "new/by hand"]),
    tableRow(Array.from({ length: 7 }, () => "---")),
    ...figures.map(([figure, name, digits]) => {
      const [news, olds] = [of("new", figure), of("old", figure)]
      const [newer, older, hand] = [median(news), median(olds), median(of("by hand", figure))]
      return tableRow([
        ...[name, newer.toFixed(digits), older.toFixed(digits), hand.toFixed(digits)],
        ...[ratio(newer, older), news.map((each, index) => ratio(each, olds[index])).join(" "), ratio(newer, hand)]
      ])
    })
  ]
}

export const byTurns = Effect.fnUntraced(function* (options: AgainstOptions) {
  const { checkout, users, rounds, seconds, warmUpSeconds, key, nodeOptions } = options
  yield* Console.log("starting PostgreSQL, migrating, making users …")
  const { url: handUrl, newDatabase, version } = yield* stage(users)

  const side = Effect.fnUntraced(function* (start: () => Promise<Side["running"]>) {
    // The first start after an install fills the compile cache; measured are the later ones.
    yield* Effect.promise(() => start().then(({ stop }) => stop()))
    return { running: yield* started(start), start, rounds: [] } satisfies Side
  })
  const service = Effect.fnUntraced(function* (database: string, from: string) {
    const url = yield* Effect.promise(() => newDatabase(database))
    yield* Effect.promise(() => migrate(from, url))
    yield* Effect.promise(() => fill(url, users))
    return { url, ...(yield* side(() => startService(url, key, nodeOptions, from))) }
  })
  const newer = yield* service("new", root)
  const older = yield* service("old", checkout)
  const sides: Readonly<Record<string, Side>> = {
    new: newer,
    old: older,
    "by hand": yield* side(() => startByHand(handUrl))
  }

  const load = (port: number, time: number) => {
    const path = "/api/v1/internal/credits/use"
    return Effect.promise(() => measure({ kind: "use", port, path, key, lanes: 64, users, seconds: time }))
  }
  for (const { running } of Object.values(sides)) yield* load(running.port, warmUpSeconds)

  for (let round = 0; round < rounds; round++) {
    // The order is reversed in every second round, so that no side always follows the same other one.
    const order = Object.entries(sides)
    for (const [name, each] of round % 2 === 0 ? order : order.toReversed()) {
      const { pid, port } = each.running
      const { startMs, stop } = yield* Effect.promise(each.start)
      yield* Effect.promise(stop)
      const before = yield* Effect.promise(() => cpuSeconds(pid))
      const measured = yield* load(port, seconds)
      const after = yield* Effect.promise(() => cpuSeconds(pid))
      const cpuMicros = ((after - before) * 1_000_000) / measured.done
      const resident = yield* Effect.promise(() => residentMb(pid))
      const { p50, p99 } = measured
      const rate = perSecond(measured)
      each.rounds.push({ perSecond: rate, p50, p99, cpuMicros, residentMb: resident ?? Number.NaN, startMs })
      yield* Console.log(
        `round ${round + 1}: ${name} ${rate.toFixed(0)}/s, ${cpuMicros.toFixed(0)} µs CPU a debit, p99 ${p99.toFixed(1)} ms, ` +
          `${resident ?? "?"} MB, started in ${startMs.toFixed(0)} ms`
      )
    }
  }

  yield* Console.log("verifying the books …")
  const untrue = yield* Effect.promise(async () => [...(await verify(newer.url)), ...(await verify(older.url))])
  const measured = Object.fromEntries(Object.entries(sides).map(([name, each]) => [name, each.rounds]))
  const about = { at: new Date().toISOString(), machine: machine(version), checkouts: { new: root, old: checkout } }
  return {
    result: { ...about, users, rounds, seconds, sides: measured, untrue },
    lines: [
      ...table(measured),
      "",
      `new: ${root}, old: ${checkout}`,
      about.machine,
      `${rounds} rounds of ${seconds} s each, ${users} users, 64 connections; ratios in one round are of neighbours in time`
    ]
  }
})
