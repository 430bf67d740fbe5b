/** What a run leaves behind: Markdown for people, or JSON where the file is named so. */
import * as os from "node:os"
import type { Performed } from "./scenario.ts"

export interface Run {
  readonly seed: number
  readonly minutes: number
  readonly at: string
  readonly performed: ReadonlyArray<Performed>
}

export const isTrue = ({ performed }: Run) => performed.length > 0 && performed.every(({ wrong }) => wrong.length === 0)

export const verdict = (run: Run) => {
  const failed = run.performed.filter(({ wrong }) => wrong.length > 0).map(({ name }) => name)
  return isTrue(run) ? `All ${run.performed.length} held.` : `FAILED: ${failed.join(", ") || "nothing ran"}.`
}

const section = ({ name, seconds, facts, wrong }: Performed) =>
  [
    `## ${name}: ${wrong.length === 0 ? "held" : "FAILED"} (${seconds} s)`,
    "",
    "| what | seen |",
    "| --- | --- |",
    ...Object.entries(facts).map(([what, seen]) => `| ${what} | ${seen} |`),
    "",
    ...(wrong.length === 0 ? [] : ["Wrong:", "", ...wrong.map((line) => `- ${line}`), ""])
  ].join("\n")

export const markdown = (run: Run) =>
  [
    `# Torture, seed ${run.seed}`,
    "",
    `${verdict(run)} ${run.at}, ${os.availableParallelism()} cores, node ${process.version}.`,
    `Again: \`npm run torture -- --seed ${run.seed} --minutes ${run.minutes} --only ${run.performed.map(({ name }) => name).join(",")}\``,
    "",
    ...run.performed.map(section)
  ].join("\n")

export const report = (run: Run, file: string) =>
  file.endsWith(".json") ? `${JSON.stringify({ ...run, held: isTrue(run) }, null, 2)}\n` : `${markdown(run)}\n`
