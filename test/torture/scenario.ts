/** One fault and what must hold under it: what `npm run torture` runs for minutes and the tests for seconds. */
import * as fs from "node:fs/promises"
import * as os from "node:os"
import * as path from "node:path"

/** What a scenario is given to work with. */
export interface Task {
  /** The same seed makes the same choices; what the machine does between them is its own. */
  readonly seed: number
  /** How long the fault goes on, without starting and checking. */
  readonly milliseconds: number
  /** Of its own, gone afterwards. Journals belong here. */
  readonly folder: string
  /** A line for whoever watches. */
  readonly say: (line: string) => void
  /** Runs when the scenario is over, however it ended; the last said first. */
  readonly onEnd: (end: () => Promise<unknown>) => void
}

export interface Outcome {
  /** What was done and seen, in the order in which a report shows it. */
  readonly facts: Readonly<Record<string, string | number>>
  /** What must not be, one line each; empty when all held. */
  readonly wrong: ReadonlyArray<string>
}

export interface Scenario {
  readonly name: string
  /** What breaks and what must hold, in a line. */
  readonly about: string
  /** How long the long version takes unless somebody says otherwise. */
  readonly minutes: number
  /** Throwing is a failure like any line of `wrong`. */
  readonly run: (task: Task) => Promise<Outcome>
}

/**
 * So many of what is counted: as many as are asked for in the minutes that a scenario usually takes. Where the machine
 * is slow it goes on for longer.
 */
export const atLeast = (count: number, { minutes }: Pick<Scenario, "minutes">, { milliseconds }: Task) =>
  Math.round((count * milliseconds) / (minutes * 60_000))

export interface Performed extends Outcome {
  readonly name: string
  readonly seconds: number
}

export interface Performance {
  readonly seed: number
  readonly milliseconds: number
  readonly say: (line: string) => void
}

const reason = (error: unknown) => (error instanceof Error ? (error.stack ?? error.message) : String(error))

/** A task with a folder of its own; `end` cleans up and answers what went wrong in that. */
export const prepare = async ({ seed, milliseconds, say }: Performance) => {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), "mana-credits-torture-"))
  const ends: Array<() => Promise<unknown>> = []
  const task: Task = { seed, milliseconds, folder, say, onEnd: (end) => void ends.unshift(end) }
  const end = async (): Promise<ReadonlyArray<string>> => {
    const wrong: Array<string> = []
    for (const each of ends) {
      // One that fails doesn't keep the others from ending.
      await each().catch((error: unknown) => wrong.push(`its end failed: ${reason(error)}`))
    }
    await fs.rm(folder, { recursive: true, force: true })
    return wrong
  }
  return { task, end }
}

/** Runs a scenario and cleans up after it. Never throws: whatever went wrong is in the outcome. */
export const perform = async (scenario: Scenario, how: Performance): Promise<Performed> => {
  const since = performance.now()
  const { task, end } = await prepare(how)
  const outcome = await scenario
    .run(task)
    .catch((error: unknown): Outcome => ({ facts: {}, wrong: [`it broke off: ${reason(error)}`] }))
  const wrong = [...outcome.wrong, ...(await end())]
  return {
    name: scenario.name,
    facts: outcome.facts,
    wrong,
    seconds: Math.round((performance.now() - since) / 100) / 10
  }
}
