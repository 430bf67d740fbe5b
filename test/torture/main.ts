/**
 * `npm run torture`: breaks what can break under a service at work, for minutes, and checks its books afterwards.
 * Ends with 1 if anything was wrong.
 *
 *     npm run torture -- --minutes 10 --seed 7 --only kill-postgres,kill-service --report torture.md
 */
import { randomInt } from "node:crypto"
import * as fs from "node:fs/promises"
import { parseArgs } from "node:util"
import { isTrue, report, verdict } from "./report.ts"
import { perform, type Performed } from "./scenario.ts"
import { scenarios } from "./scenarios.ts"

const { values: options } = parseArgs({
  options: {
    /** Of the whole run, shared out among the scenarios as their own minutes are. */
    minutes: { type: "string" },
    seed: { type: "string" },
    /** Only these scenarios, with commas between. */
    only: { type: "string" },
    /** Where the report goes; `.json` for machines. */
    report: { type: "string", default: "torture.md" }
  }
})

const only = options.only?.split(",")
const unknown = (only ?? []).filter((name) => scenarios.every((scenario) => scenario.name !== name))
const chosen = scenarios.filter(({ name }) => only?.includes(name) ?? true)
const usualMinutes = chosen.reduce((sum, { minutes }) => sum + minutes, 0)
const minutes = Number(options.minutes ?? usualMinutes)
const seed = Number(options.seed ?? randomInt(1, 1_000_000))

const runAll = async () => {
  console.log(`seed ${seed}, ${minutes} minutes: ${chosen.map(({ name }) => name).join(", ")}`)
  const performed: Array<Performed> = []
  for (const scenario of chosen) {
    console.log(`\n${scenario.name}: ${scenario.about}`)
    const one = await perform(scenario, {
      seed,
      milliseconds: (minutes * 60_000 * scenario.minutes) / usualMinutes,
      say: (line) => console.log(`  ${line}`)
    })
    performed.push(one)
    for (const [what, seen] of Object.entries(one.facts)) console.log(`  ${what}: ${seen}`)
    for (const line of one.wrong) console.error(`  WRONG: ${line}`)
  }
  const run = { seed, minutes, at: new Date().toISOString(), performed }
  await fs.writeFile(options.report, report(run, options.report))
  console.log(`\n${verdict(run)} The report is in ${options.report}.`)
  return isTrue(run) ? 0 : 1
}

const problem =
  unknown.length > 0
    ? `There is no ${unknown.join(", ")}. There are: ${scenarios.map(({ name }) => name).join(", ")}`
    : !(minutes > 0) || !Number.isSafeInteger(seed)
      ? "--minutes is a number above 0, --seed a whole number"
      : undefined
if (problem !== undefined) console.error(problem)
// What a scenario left open keeps nobody waiting.
process.exit(problem === undefined ? await runAll() : 1)
