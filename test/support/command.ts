/** The program's command line within this process, which takes a tenth of the time that `start` takes. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { ConfigProvider, Console, Effect } from "effect"
import { run } from "../../src/commands/cli.ts"

export interface Ran {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

/** A command's output and exit code. */
export const command = async (args: ReadonlyArray<string>, env: Readonly<Record<string, string>>): Promise<Ran> => {
  const output = { stdout: "", stderr: "" }
  const console: Console.Console = {
    ...globalThis.console,
    log: (line: string) => void (output.stdout += `${line}\n`),
    error: (line: string) => void (output.stderr += `${line}\n`)
  }
  const exitCode = await run(args).pipe(
    Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env })),
    Effect.provideService(Console.Console, console),
    Effect.provide(NodeServices.layer),
    Effect.runPromise
  )
  return { ...output, exitCode }
}
