/**
 * A process with vitest in it that runs test files again and again on a template that is changed in between: what a
 * run costs is the tests, not their start. Told which files over IPC, answers with what failed first.
 */
import * as path from "node:path"
import process from "node:process"
import { Schema } from "effect"
import { BaseSequencer, createVitest, type TestSpecification } from "vitest/node"

const Ask = Schema.Struct({ files: Schema.Array(Schema.String), bail: Schema.Boolean })
export type Ask = typeof Ask.Type
export const Answer = Schema.Struct({
  /** The first test that failed, or what else went wrong; null when all passed. */
  failed: Schema.NullOr(Schema.String),
  milliseconds: Schema.Record(Schema.String, Schema.Number)
})
export type Answer = typeof Answer.Type

const root = path.resolve(import.meta.dirname, "../..")

let order: ReadonlyArray<string> = []
class AsAsked extends BaseSequencer {
  override sort(files: Array<TestSpecification>) {
    return Promise.resolve(files.toSorted((a, b) => order.indexOf(a.moduleId) - order.indexOf(b.moduleId)))
  }
}

const vitest = await createVitest("test", {
  root,
  watch: false,
  reporters: [{}],
  maxWorkers: 1,
  fileParallelism: false,
  bail: 1,
  onConsoleLog: () => false,
  sequence: { sequencer: AsAsked }
})
await vitest.globTestSpecifications()
const run = async ({ files, bail: stop }: Ask): Promise<Answer> => {
  order = files.map((file) => path.join(root, file))
  for (const project of vitest.projects) project.config.bail = stop ? 1 : 0
  vitest.config.bail = stop ? 1 : 0
  // What earlier runs came to isn't this one's.
  vitest.state.filesMap.clear()
  vitest.state.idMap.clear()
  const { testModules, unhandledErrors } = await vitest.runTestSpecifications(
    order.map((file) => vitest.getRootProject().createSpecification(file))
  )
  const milliseconds: Record<string, number> = {}
  let failed: string | null = null
  for (const module of testModules.toSorted((a, b) => order.indexOf(a.moduleId) - order.indexOf(b.moduleId))) {
    const name = path.relative(root, module.moduleId)
    const { duration, collectDuration } = module.diagnostic()
    milliseconds[name] = Math.round(duration + collectDuration)
    for (const test of module.children.allTests("failed")) failed ??= `${name} > ${test.fullName}`
    if (module.state() === "failed") failed ??= `${name}: ${module.errors()[0]?.message ?? "hook"}`
  }
  for (const error of unhandledErrors) failed ??= error instanceof Error ? error.message : String(error)
  return { failed, milliseconds }
}

process.on("message", (message) => {
  run(Schema.decodeUnknownSync(Ask)(message)).then(
    (answer) => process.send?.(answer),
    (error: unknown) => process.send?.({ failed: String(error), milliseconds: {} } satisfies Answer)
  )
})
process.on("disconnect", () => void vitest.close().finally(() => process.exit(0)))
process.send?.("ready")
