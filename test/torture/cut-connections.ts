/** Fault 3, the second: connections to PostgreSQL break in the middle of a statement, one here, all there. */
import { randomFrom } from "../../src/dev/stripe/faults.ts"
import { underLoad } from "./load.ts"
import type { Scenario } from "./scenario.ts"
import { openStage, type Stage } from "./stage.ts"
import { sleep, until } from "./wait.ts"

export interface CutOptions {
  /** From 0 to 1: of the statements that are cut. */
  readonly share: number
  readonly atLeast: number
}

/** Cuts for as long as it has, and until there were as many as there should be. */
export const cutConnections = async (stage: Stage, milliseconds: number, { share, atLeast: least }: CutOptions) => {
  const { proxy } = stage
  if (proxy === undefined) throw new Error("this needs a service behind a wire")
  const random = randomFrom(stage.task.seed)
  const pids = stage.services.map((service) => service.process().pid)
  let all = 0
  let massCuts = 0
  proxy.cutSome(share, random)
  const deadline = performance.now() + milliseconds
  while (performance.now() < deadline || proxy.cuts().all < least) {
    await sleep(200 + random() * 1500)
    if (random() < 0.4) {
      all += proxy.cutAll()
      massCuts += 1
    }
  }
  proxy.cutSome(0, random)
  for (const { origin } of stage.services) {
    await until(
      "ready again by itself after the cuts",
      () => stage.ready(origin),
      (status) => status === 200
    )
  }
  const wrong = stage.services.flatMap((service, index) =>
    service.process().isOver() || service.process().pid !== pids[index] ? ["the service ended by itself"] : []
  )
  return {
    facts: {
      "connections cut in the middle of a statement": proxy.cuts().all,
      "of them when the server had answered": proxy.cuts().answered,
      "times all were cut at once": massCuts,
      "connections cut that way": all
    },
    wrong
  }
}

export const scenario: Scenario = {
  name: "cut-connections",
  about: "connections to PostgreSQL cut in the middle of a statement, before and after its commit, and all at once",
  minutes: 2,
  run: async (task) => {
    const stage = await openStage(task, { proxied: true, services: 2 })
    return underLoad(stage, { processes: 4, lanes: 8 }, () =>
      cutConnections(stage, task.milliseconds, { share: 0.03, atLeast: 1 })
    )
  }
}
