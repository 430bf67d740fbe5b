/**
 * `npm run mutate`: takes each guard of the SQL away in turn and looks whether a test fails. See README.md beside it.
 * What is known is kept in .mutation/, so that a run goes on where the last one stopped.
 */
import { type ChildProcess, fork } from "node:child_process"
import { createHash } from "node:crypto"
import { once } from "node:events"
import * as fs from "node:fs/promises"
import * as os from "node:os"
import * as path from "node:path"
import { parseArgs } from "node:util"
import { Effect, Exit, Schema, Scope } from "effect"
import { loadModule } from "libpg-query"
import pg from "pg"
import { template } from "../support/names.ts"
import { startServer } from "../support/server.ts"
import { catalogMutants } from "./catalog.ts"
import { equivalent } from "./equivalent.ts"
import { digestOf, functionMutants, type Mutant } from "./functions.ts"
import { Answer, type Ask } from "./lane.ts"
import { report, Result } from "./report.ts"

const { values: options } = parseArgs({
  options: {
    /** Only the mutants whose id holds one of these, with commas between. */
    only: { type: "string" },
    /** Only those whose file or object holds one of these. */
    files: { type: "string" },
    rules: { type: "string" },
    /** A random part: this many, by this seed. */
    sample: { type: "string" },
    seed: { type: "string", default: "1" },
    /** Stops after this time; what it was at is tried again by the next run. */
    minutes: { type: "string", default: "600" },
    /** Tries again what survived, with every test that touches the function, not only the nearest. */
    survivors: { type: "boolean", default: false },
    /** Forgets what is known of the mutants chosen. */
    again: { type: "boolean", default: false },
    list: { type: "boolean", default: false },
    /** Writes README.md's table from what is known. */
    report: { type: "boolean", default: false },
    lanes: { type: "string", default: "2" }
  }
})

const root = path.resolve(import.meta.dirname, "../..")
const state = path.join(root, ".mutation")
const results = path.join(state, "results.jsonl")
const coverage = path.join(state, "covered.jsonl")
const times = path.join(state, "times.json")
const deadline = Date.now() + Number(options.minutes) * 60_000

/** What is done to tables and types: all else is done to functions. */
const rulesOfTables: ReadonlySet<string> = new Set(["constraint", "domain", "not null", "trigger"])

/** Of the tests that touch a function, how many are tried; --survivors tries 12. */
const nearest = 8
// A mutant may wait for ever, or loop. All tests as they are take longer.
const mutantTimeout = 60_000
const coverTimeout = 600_000

const Covered = Schema.Struct({ test: Schema.String, objects: Schema.Array(Schema.String) })

const lines = async <A, I>(file: string, schema: Schema.Codec<A, I>): Promise<ReadonlyArray<A>> => {
  const text = await fs.readFile(file, "utf8").catch(() => "")
  const decode = Schema.decodeUnknownSync(Schema.fromJsonString(schema))
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => decode(line))
}

const list = (option: string | undefined) => option?.split(",").filter((each) => each !== "")

const testFiles = async () => {
  const found = await fs.readdir(path.join(root, "test"), { recursive: true })
  return (
    found
      .filter((file) => /^(sql|races|model)\/.*\.test\.ts$/.test(file))
      .map((file) => `test/${file}`)
      // The golden schema and the functions as their files have them: every mutant differs from those by definition.
      .filter((file) => file !== "test/sql/schema.test.ts")
      .toSorted()
  )
}

const sources = async () => {
  const files = await fs.readdir(path.join(root, "sql"), { recursive: true })
  const wanted = files.filter((file) => /^(?!examples)\w+\/\w+\.sql$/.test(file)).toSorted()
  return Promise.all(
    wanted.map(async (file) => ({
      file: `sql/${file}`,
      object: file.replace("/", ".").replace(/\.sql$/, ""),
      text: await fs.readFile(path.join(root, "sql", file), "utf8")
    }))
  )
}

const connected = async (url: string) => {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  return client
}

const withDatabase = (url: string, database: string) => {
  const changed = new URL(url)
  changed.pathname = database
  return changed.href
}

/** A lane: a template of its own and a process that runs tests on it. */
class Lane {
  private child: ChildProcess | undefined
  readonly database: string
  private readonly url: string
  private readonly admin: pg.Client
  private readonly more: NodeJS.ProcessEnv

  constructor(number: number, url: string, admin: pg.Client, more: NodeJS.ProcessEnv = {}) {
    this.database = `mana_mutant_${number}`
    this.url = url
    this.admin = admin
    this.more = more
  }

  /** The template as it was migrated. */
  readonly reset = async () => {
    await this.admin.query(`drop database if exists ${this.database} with (force)`)
    await this.admin.query(`create database ${this.database} template ${template}`)
    // As in test/support/database.ts: who may do what with a database isn't cloned with it.
    await this.admin.query(
      "update pg_database d set datacl = t.datacl from pg_database t where d.datname = $1 and t.datname = $2",
      [this.database, template]
    )
  }

  readonly apply = async (sql: string) => {
    const client = await connected(withDatabase(this.url, this.database))
    try {
      await client.query("set role mana_owner")
      await client.query(sql)
    } finally {
      await client.end()
    }
  }

  readonly run = async (ask: Ask, timeout = mutantTimeout): Promise<Answer> => {
    const child = this.child ?? (await this.start())
    const timer = setTimeout(() => child.kill("SIGKILL"), timeout)
    child.send(ask)
    const answered = new AbortController()
    const answer = await Promise.race([
      once(child, "message", answered).then(([message]) => Schema.decodeUnknownSync(Answer)(message)),
      once(child, "exit", answered).then((): Answer => ({ failed: "no end in a minute", milliseconds: {} }))
    ])
    answered.abort()
    clearTimeout(timer)
    if (child.exitCode !== null || child.signalCode !== null) this.child = undefined
    return answer
  }

  private readonly start = async () => {
    const child = fork(path.join(import.meta.dirname, "lane.ts"), {
      cwd: root,
      env: { ...process.env, MANA_TEST_SERVER: this.url, MANA_TEST_TEMPLATE: this.database, ...this.more },
      stdio: ["ignore", "ignore", "inherit", "ipc"]
    })
    this.child = child
    await once(child, "message")
    return child
  }

  readonly stop = async () => {
    if (this.child === undefined) return
    const gone = once(this.child, "exit")
    this.child.disconnect()
    await gone
  }
}

/** Which tests touch what, and how long each takes: one run of all of them, as they are. */
const cover = async (url: string, admin: pg.Client) => {
  console.log("finding out which tests touch what …")
  const temporary = `${coverage}.new`
  await fs.rm(temporary, { force: true })
  const files = await testFiles()
  const lanes = [0, 1].map((number) => new Lane(number, url, admin, { MANA_COVERED: temporary }))
  const milliseconds: Record<string, number> = {}
  await Promise.all(
    lanes.map(async (lane, number) => {
      await lane.reset()
      const answer = await lane.run({ files: files.filter((_, n) => n % 2 === number), bail: false }, coverTimeout)
      await lane.stop()
      if (answer.failed !== null) throw new Error(`The tests fail as they are: ${answer.failed}`)
      Object.assign(milliseconds, answer.milliseconds)
    })
  )
  await fs.writeFile(times, JSON.stringify(milliseconds))
  await fs.rename(temporary, coverage)
}

/** Deterministic shuffle. */
const sampled = (mutants: ReadonlyArray<Mutant>, count: number, seed: string) => {
  const rank = ({ id }: Mutant) => createHash("sha256").update(`${seed} ${id}`).digest("hex")
  return mutants.toSorted((a, b) => (rank(a) < rank(b) ? -1 : 1)).slice(0, count)
}

const choose = (mutants: ReadonlyArray<Mutant>) => {
  const [only, files, rules] = [list(options.only), list(options.files), list(options.rules)]
  const chosen = mutants.filter(
    ({ id, rule, object, place }) =>
      (only === undefined || only.some((part) => id.includes(part))) &&
      (files === undefined || files.some((part) => place.includes(part) || object.includes(part))) &&
      (rules === undefined || rules.includes(rule))
  )
  return options.sample === undefined ? chosen : sampled(chosen, Number(options.sample), options.seed)
}

const locks = new Set(["lock", "skip locked", "order by", "on conflict", "strict"])
const isSchemaWide = (rule: string) => ["definer", "search_path", "grant", "revoke"].includes(rule)

/** The tests to try on a mutant, the likeliest to notice first. */
const plan = async (functions: ReadonlyArray<{ readonly object: string; readonly text: string }>) => {
  const covered = await lines(coverage, Covered)
  const milliseconds: Record<string, number> = JSON.parse(await fs.readFile(times, "utf8"))
  const all = await Promise.all(
    (await testFiles()).map(async (file) => {
      const text = await fs.readFile(path.join(root, file), "utf8")
      const touched = covered.filter(({ test }) => test.endsWith(file)).flatMap(({ objects }) => objects)
      // PostgreSQL counts no call that ended in an error: who is only ever refused there is touched, too.
      const named = functions.map(({ object }) => object).filter((object) => text.includes(`"${object}"`))
      return { file, objects: new Set([...touched, ...named]), milliseconds: milliseconds[file] ?? 0 }
    })
  )
  const callers = (object: string) =>
    functions.filter((each) => each.object !== object && each.text.includes(`${object}(`)).map((each) => each.object)
  const touching = (object: string, seen: ReadonlySet<string> = new Set()): ReadonlyArray<string> => {
    const direct = all.filter(({ objects }) => objects.has(object))
    if (direct.length > 0 || seen.has(object)) return direct.map(({ file }) => file)
    // Inlined by the planner: whoever calls it.
    const reached = callers(object).flatMap((caller) => touching(caller, new Set([...seen, object])))
    return [...new Set(reached)]
  }
  // PostgreSQL's statistics don't count a call that is refused: what that file calls is what it names.
  const limits = "test/sql/limits.test.ts"
  const refusing = await fs.readFile(path.join(root, limits), "utf8")
  const [schemaWide, catalog] = [
    ["test/sql/conventions.test.ts", "test/sql/roles.test.ts"],
    ["test/sql/constraints.test.ts", "test/sql/credits/refuse_ledger_change.test.ts"]
  ]
  return ({ object, rule }: Mutant): ReadonlyArray<string> => {
    const [schema = "", name = ""] = object.split(".")
    if (isSchemaWide(rule)) return schemaWide
    // The tests of the function itself, of those that call it, of those that call these …
    const distance = new Map([[object, 0]])
    for (const [reached, steps] of distance) {
      for (const caller of callers(reached)) if (!distance.has(caller)) distance.set(caller, steps + 1)
    }
    const [ofTheSchema, far] = [50, 100]
    const rank = (file: string) => {
      const { milliseconds: cost } = all.find((each) => each.file === file) ?? { milliseconds: 0 }
      // What only happens when two meet is for the tests of that.
      if ((options.survivors || locks.has(rule)) && file.startsWith("test/races/")) return 1.5
      if (file === "test/sql/limits.test.ts") return 0.5
      const [, mirrored = ""] = /^test\/sql\/(\w+\/\w+)\.test\.ts$/.exec(file) ?? []
      const here = [
        { folder: `test/sql/${schema}/${name}`, rank: 1 },
        { folder: `test/sql/${schema}/`, rank: ofTheSchema }
      ].find(({ folder }) => file.startsWith(folder))
      const steps = distance.get(mirrored.replace("/", ".")) ?? here?.rank ?? far
      return steps + cost / 10_000
    }
    const refused = [object, ...callers(object)].some((each) => refusing.includes(`"${each}"`)) ? [limits] : []
    const near = [...new Set([...touching(object), ...refused])].toSorted((a, b) => rank(a) - rank(b))
    // By rule, not by name: a table may be called like a function.
    return [...(rulesOfTables.has(rule) ? catalog : []), ...near]
  }
}

const main = async () => {
  await loadModule()
  await fs.mkdir(state, { recursive: true })
  const functions = await sources()
  const fromFunctions = functions.flatMap(({ file, text }) => functionMutants(file, text))

  const scope = await Effect.runPromise(Scope.make())
  const memory = await fs.access("/dev/shm").then(
    () => "/dev/shm",
    () => os.tmpdir()
  )
  const folder = await fs.mkdtemp(path.join(memory, "mana-credits-mutation-"))
  try {
    const more = ["track_functions=all", "statement_timeout=20s"]
    const url = await Effect.runPromise(Scope.provide(startServer(folder, more), scope))
    const admin = await connected(url)
    await admin.query(`alter database ${template} with allow_connections true`)
    const catalogue = await connected(withDatabase(url, template))
    const all = [...fromFunctions, ...(await catalogMutants(catalogue))]
    await catalogue.end()
    await admin.query(`alter database ${template} with allow_connections false`)

    const chosen = choose(all)
    if (options.list) {
      for (const { id, place, before, after } of chosen) console.log(`${id} ${place}: ${before} => ${after}`)
      console.log(`${chosen.length} of ${all.length} mutants`)
    } else if (options.report) {
      await report(chosen, new Map((await lines(results, Result)).map((result) => [result.id, result])))
    } else {
      if (
        !(await fs.access(coverage).then(
          () => true,
          () => false
        ))
      )
        await cover(url, admin)
      await mutate(url, admin, chosen, functions)
    }
    await admin.end()
  } catch (error) {
    // Said now: when its server stops, graphile-migrate may end the process.
    console.error(error)
    process.exitCode = 1
  } finally {
    await Effect.runPromise(Scope.close(scope, Exit.void))
    await fs.rm(folder, { recursive: true, force: true })
  }
}

const mutate = async (
  url: string,
  admin: pg.Client,
  chosen: ReadonlyArray<Mutant>,
  functions: ReadonlyArray<{ readonly object: string; readonly text: string }>
) => {
  const known = new Map((await lines(results, Result)).map((result) => [result.id, result]))
  const testsOf = await plan(functions)
  const left = chosen.filter((mutant) => {
    if (equivalent(mutant) !== undefined) return false
    const before = known.get(mutant.id)
    if (options.survivors) return before?.outcome === "survived"
    return before === undefined || options.again
  })
  // By chance, so that a run cut short has tried a fair part; what one test of the whole schema catches, last.
  const rank = ({ id, rule }: Mutant) => `${isSchemaWide(rule) ? 1 : 0}${digestOf(options.seed, id)}`
  left.sort((a, b) => (rank(a) < rank(b) ? -1 : 1))
  console.log(`${chosen.length} mutants, ${left.length} to try`)
  let done = 0
  const next = () => (Date.now() < deadline ? left[done++] : undefined)
  const one = async (lane: Lane, mutant: Mutant): Promise<Result> => {
    const original = mutant.place === "" ? undefined : functions.find(({ object }) => object === mutant.object)?.text
    const tests = testsOf(mutant).slice(0, options.survivors ? 12 : nearest)
    try {
      await lane.apply(mutant.sql)
    } catch (error) {
      return { id: mutant.id, outcome: "invalid", by: error instanceof Error ? error.message : String(error), tests: 0 }
    }
    const { failed } = tests.length === 0 ? { failed: null } : await lane.run({ files: tests, bail: true })
    await (original === undefined ? lane.reset() : lane.apply(original))
    return { id: mutant.id, outcome: failed === null ? "survived" : "caught", by: failed, tests: tests.length }
  }
  await Promise.all(
    Array.from({ length: Number(options.lanes) }, async (_, number) => {
      const lane = new Lane(number, url, admin)
      await lane.reset()
      for (let mutant = next(); mutant !== undefined; mutant = next()) {
        const from = Date.now()
        const result = await one(lane, mutant)
        await fs.appendFile(results, `${JSON.stringify(result)}\n`)
        const took = ((Date.now() - from) / 1000).toFixed(1)
        console.log(`${done}/${left.length} ${took}s ${result.outcome} ${mutant.id} ${result.by ?? mutant.place}`)
      }
      await lane.stop()
    })
  )
}

await main()
