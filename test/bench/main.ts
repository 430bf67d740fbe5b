/** `npm run bench`: debits, billing and reads against the machine's own limit, in ratios of one run. */
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { parseArgs } from "node:util"
import { Cause, Console, Effect, Exit, Fiber, type Scope } from "effect"
import { byTurns } from "./against.ts"
import { billing } from "./billing.ts"
import { machine, type Measured, median, perSecond, ratio, type Report, tableRow } from "./numbers.ts"
import { measure, residentMb, started, startByHand, startService } from "./processes.ts"
import { reads } from "./reads.ts"
import { type Minute, soak } from "./soak.ts"
import { stage } from "./stage.ts"

const { values: options } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    large: { type: "boolean", default: false },
    json: { type: "string" },
    /** Only these rows, with commas between: limit,by hand,function,HTTP,HTTP batch,billing,reads */
    rows: { type: "string" },
    rounds: { type: "string" },
    /** Minutes of HTTP load after the rounds. */
    soak: { type: "string", default: "0" },
    seconds: { type: "string" },
    /** Another checkout: only HTTP's single debits, at this checkout's service and at that one's by turns. */
    against: { type: "string" },
    /** Options of node for the service, such as --cpu-prof. */
    node: { type: "string" }
  }
})

const users = 10_000
const rounds = Number(options.rounds ?? (options.quick ? 2 : 5))
const seconds = Number(options.seconds ?? (options.quick ? 4 : 10))
const warmUpSeconds = options.quick ? 3 : 5
const due = options.large ? 1_000_000 : options.quick ? 10_000 : 100_000
const ledgerRows = options.large ? 10_000_000 : options.quick ? 100_000 : 1_000_000
const key = "bench-service-key"
const generator = "node:net, HTTP/1.1 keep-alive, one request at a time on each connection (test/bench/http-client.ts)"
const wanted = (row: string) => options.rows === undefined || options.rows.split(",").includes(row)

const summary = (measured: ReadonlyArray<Measured>) => ({
  perSecond: median(measured.map(perSecond)),
  p50: median(measured.map(({ p50 }) => p50)),
  p99: median(measured.map(({ p99 }) => p99)),
  generatorCpuShare: median(measured.map((each) => each.generatorCpuSeconds / each.seconds)),
  rounds: measured.map((each) => Math.round(perSecond(each)))
})

const hotShare = `
  select round(100.0 * n_tup_hot_upd / nullif(n_tup_upd, 0), 1)::float as percent
  from pg_stat_user_tables where schemaname = 'credits' and relname = 'balances'`

const bench = Effect.gen(function* () {
  yield* Console.log("starting PostgreSQL, making users …")
  const { url, anotherUrl, client, query, version } = yield* stage(users)
  // The first start after an install compiles, and keeps what it made for those that follow: measured is one of these.
  yield* Effect.promise(() => startService(url, key, "").then(({ stop }) => stop()))
  const service = yield* started(() => startService(url, key, options.node ?? ""))
  const hand = yield* started(() => startByHand(url))

  const http = { key, users, seconds }
  const ports = [service.port, hand.port]
  const use = "/api/v1/internal/credits/use"
  const loads = {
    limit: () => measure({ kind: "limit", url, lanes: 16, seconds, users }),
    "by hand": () => measure({ kind: "use", port: hand.port, path: use, lanes: 64, ...http }),
    function: () => measure({ kind: "function", url, lanes: 16, seconds, users }),
    HTTP: () => measure({ kind: "use", port: service.port, path: use, lanes: 64, ...http }),
    "HTTP batch": () => measure({ kind: "batch", port: service.port, path: `${use}-batch`, lanes: 8, ...http })
  }

  // Both servers compile what they run often: measured is what they do after that.
  for (const port of ports) {
    const warmUp = { kind: "use" as const, port, path: use, lanes: 64, key, users, seconds: warmUpSeconds }
    yield* Effect.promise(() => measure(warmUp))
  }

  // One after the other in every round, so that a minute in which the machine is busy with something else hits all.
  const measured: Record<string, Array<Measured>> = {}
  const memory: Array<number> = []
  for (let round = 0; round < rounds; round++) {
    for (const [row, load] of Object.entries(loads)) {
      if (!wanted(row)) continue
      const one = yield* Effect.promise(load)
      ;(measured[row] ??= []).push(one)
      const mb = yield* Effect.promise(() => residentMb(service.pid))
      if (mb !== undefined) memory.push(mb)
      yield* Console.log(`round ${round + 1}: ${row} ${Math.round(perSecond(one))}/s`)
    }
  }
  const soaked = yield* Effect.promise(() =>
    soak(
      Number(options.soak),
      service.pid,
      () => measure({ kind: "use", port: service.port, path: use, lanes: 64, key, users, seconds: 60 }),
      (line) => console.log(line)
    )
  )
  const [hot] = yield* Effect.promise(() => query(hotShare))

  const billed = wanted("billing") ? yield* Effect.promise(() => billing(client, url, due)) : undefined
  const read = wanted("reads")
    ? yield* Effect.promise(() => reads(anotherUrl, ledgerRows, options.quick ? 200 : 1000))
    : undefined

  yield* Console.log("verifying the books …")
  const untrue = yield* Effect.promise(() => query("select * from ops.verify()"))
  return {
    at: new Date().toISOString(),
    machine: machine(version),
    generator,
    users,
    rounds,
    seconds,
    rows: Object.fromEntries(Object.entries(measured).map(([row, each]) => [row, summary(each)])),
    billing: billed,
    reads: read,
    soak: soaked,
    serviceMb: memory.length === 0 ? undefined : { first: memory[0], last: memory.at(-1), most: Math.max(...memory) },
    hotUpdatesPercent: hot?.["percent"],
    untrue
  }
})

type Result = Effect.Success<typeof bench>

const soakLines = (minutes: ReadonlyArray<Minute>) => {
  const [first, last] = [minutes[0], minutes.at(-1)]
  if (first === undefined || last === undefined) return []
  const change = (name: "perSecond" | "p50" | "p99") => `${first[name].toFixed(1)} to ${last[name].toFixed(1)}`
  return [
    `${minutes.length} minutes of HTTP, first to last: ${change("perSecond")} a second, p50 ${change("p50")} ms, ` +
      `p99 ${change("p99")} ms, service ${first.serviceMb ?? "?"} to ${last.serviceMb ?? "?"} MB`
  ]
}

const table = ({ rows, billing: billed, reads: read, ...result }: Result) => {
  const rate = (row: string) => rows[row]?.perSecond
  const against = (value: number | undefined) => [
    ratio(value, rate("limit")),
    ratio(value, rate("function")),
    ratio(value, rate("by hand"))
  ]
  return [
    tableRow(["row", "a second", "p50 ms", "p99 ms", "of limit", "of function", "of by hand", "generator's CPU"]),
    tableRow(Array.from({ length: 8 }, () => "---")),
    ...Object.entries(rows).map(([row, { perSecond: each, p50, p99, generatorCpuShare }]) =>
      tableRow([row, Math.round(each), p50.toFixed(1), p99.toFixed(1), ...against(each), generatorCpuShare.toFixed(2)])
    ),
    ...(billed === undefined
      ? []
      : [
          tableRow([
            `billing, ${billed.due} due`,
            Math.round(billed.perSecond),
            "",
            "",
            ...against(billed.perSecond),
            ""
          ])
        ]),
    "",
    ...(read === undefined
      ? []
      : [
          tableRow(["read, median ms", `${read.smallRows} rows`, `${read.largeRows} rows`, "ratio"]),
          tableRow(["---", "---", "---", "---"]),
          ...(["balance", "firstPage", "hundredthPage"] as const).map((name) => {
            const { small, large } = read.milliseconds
            return tableRow([name, small[name].toFixed(3), large[name].toFixed(3), ratio(large[name], small[name])])
          }),
          ""
        ]),
    ...soakLines(result.soak),
    `service: ${result.serviceMb?.most ?? "?"} MB resident at most (first ${result.serviceMb?.first ?? "?"}, last ${result.serviceMb?.last ?? "?"})`,
    ...(billed === undefined
      ? []
      : [
          `billing's backend: ${billed.backendMbFirst.toFixed(1)} MB at first, ${billed.backendMbLast.toFixed(1)} MB at last`
        ]),
    `HOT updates on balances: ${String(result.hotUpdatesPercent)} %`,
    result.machine,
    `medians of ${result.rounds} interleaved rounds of ${result.seconds} s, ${result.users} users; load generator: ${result.generator}`
  ]
}

const all = Effect.map(bench, (result) => ({ result, lines: table(result) }))
const turns = (other: string) =>
  byTurns({
    ...{ checkout: path.resolve(other), users, rounds, seconds, warmUpSeconds, key },
    nodeOptions: options.node ?? ""
  })

const wantedRun: Effect.Effect<Report, Error, Scope.Scope> =
  options.against === undefined ? all : turns(options.against)
const running = Effect.runFork(Effect.scoped(wantedRun))
// Stopped, it stops its servers and takes its folder away, too.
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => Effect.runFork(Fiber.interrupt(running)))
}
const ended = await Effect.runPromise(Fiber.await(running))
if (Exit.isFailure(ended)) {
  if (Cause.hasInterrupts(ended.cause)) process.exit(130)
  throw Cause.squash(ended.cause)
}
const { result, lines } = ended.value
const { untrue } = result
console.log(`\n${lines.join("\n")}`)
console.log(`ops.verify(): ${untrue.length === 0 ? "the books are true" : JSON.stringify(untrue.slice(0, 10))}`)
if (options.json !== undefined) await fs.writeFile(options.json, `${JSON.stringify(result, null, 2)}\n`)
if (untrue.length > 0) process.exitCode = 1
