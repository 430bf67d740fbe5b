/** The result as tables, in README.md between its markers. */
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { Schema } from "effect"
import { equivalent } from "./equivalent.ts"
import type { Mutant } from "./functions.ts"

export const Result = Schema.Struct({
  id: Schema.String,
  outcome: Schema.Literals(["caught", "survived", "invalid"]),
  /** The test that caught it. */
  by: Schema.NullOr(Schema.String),
  tests: Schema.Number
})
export type Result = typeof Result.Type

const begin = "<!-- written by npm run mutate -- --report -->"

interface Count {
  readonly mutants: number
  readonly tried: number
  readonly caught: number
  readonly survived: number
}

const count = (mutants: ReadonlyArray<Mutant>, results: ReadonlyMap<string, Result>): Count => {
  const outcomes = mutants.map(({ id }) => results.get(id)?.outcome)
  const of = (outcome: Result["outcome"]) => outcomes.filter((each) => each === outcome).length
  const [caught, survived] = [of("caught"), of("survived")]
  return { mutants: mutants.length, tried: caught + survived, caught, survived }
}

const share = ({ tried, caught }: Count) => (tried === 0 ? "" : `${((100 * caught) / tried).toFixed(1)} %`)

const line = (cells: ReadonlyArray<string | number>) => `| ${cells.join(" | ")} |`

const table = (
  name: string,
  key: (mutant: Mutant) => string,
  mutants: ReadonlyArray<Mutant>,
  results: ReadonlyMap<string, Result>
) => {
  const keys = [...new Set(mutants.map(key))].toSorted()
  const row = (label: string, part: ReadonlyArray<Mutant>) => {
    const counted = count(part, results)
    return line([label, counted.mutants, counted.tried, counted.caught, counted.survived, share(counted)])
  }
  return [
    line([name, "mutants", "tried", "caught", "survived", "caught of tried"]),
    line(["---", "---", "---", "---", "---", "---"]),
    ...keys.map((each) =>
      row(
        each,
        mutants.filter((mutant) => key(mutant) === each)
      )
    ),
    row("all", mutants)
  ].join("\n")
}

const code = (text: string) => `\`${text.replace(/\s+/g, " ").replaceAll("|", "\\|").replaceAll("`", "'")}\``

export const report = async (all: ReadonlyArray<Mutant>, results: ReadonlyMap<string, Result>) => {
  const file = path.join(import.meta.dirname, "README.md")
  const [text = ""] = (await fs.readFile(file, "utf8")).split(begin)
  const excused = all.filter((mutant) => equivalent(mutant) !== undefined)
  const mutants = all.filter(
    (mutant) => equivalent(mutant) === undefined && results.get(mutant.id)?.outcome !== "invalid"
  )
  const survivors = mutants.filter(({ id }) => results.get(id)?.outcome === "survived")
  const reasons = new Map<string, ReadonlyArray<Mutant>>()
  for (const mutant of excused) {
    const why = equivalent(mutant) ?? ""
    reasons.set(why, [...(reasons.get(why) ?? []), mutant])
  }
  const parts = [
    begin,
    `Of ${new Date().toISOString().slice(0, 10)}: ${all.length} mutants, ${excused.length} of them equivalent.`,
    table("by rule", ({ rule }) => rule.replace(/( part)+$/, ""), mutants, results),
    table("by schema", ({ object }) => object.split(".")[0] ?? "", mutants, results),
    "## Survivors",
    survivors.length === 0
      ? "None."
      : survivors
          .map(({ id, place, before, after }) =>
            place === ""
              ? `- ${code(id)} dropped: ${code(before)}`
              : `- ${code(id)} ${place}: ${code(before)} ${after === "" ? "left out" : `became ${code(after)}`}`
          )
          .join("\n"),
    "## Equivalent",
    [...reasons].map(([why, of]) => `- ${why} (${of.length})`).join("\n")
  ]
  await fs.writeFile(file, `${text}${parts.join("\n\n")}\n`)
}
