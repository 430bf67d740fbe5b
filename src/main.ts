#!/usr/bin/env node
/** The program: `node src/main.ts <command>`. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Exit } from "effect"
import { run, stopped } from "./commands/cli.ts"

const args = process.argv.slice(2)

run(args).pipe(
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain({
    teardown: (exit, onExit) => {
      if (Exit.isSuccess(exit)) return onExit(Number(exit.value))
      onExit(Exit.hasInterrupts(exit) ? stopped(args) : 1)
    }
  })
)
