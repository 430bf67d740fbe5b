/** Fault 3, the first: PostgreSQL stands still for longer than every time-out, connections open and nobody at home. */
import { randomFrom } from "../../src/dev/stripe/faults.ts"
import { underLoad } from "./load.ts"
import type { Scenario } from "./scenario.ts"
import { bound, openStage, type Stage } from "./stage.ts"
import { sleep, until } from "./wait.ts"

export interface FreezeOptions {
  /** Milliseconds for which it stands still, at least; half as many again at most. */
  readonly frozen: number
  /** Milliseconds of work between two freezes, at most. */
  readonly work: number
}

export const freezePostgres = async (stage: Stage, milliseconds: number, { frozen, work }: FreezeOptions) => {
  const random = randomFrom(stage.task.seed)
  const wrong: Array<string> = []
  const pids = stage.services.map((service) => service.process().pid)
  let freezes = 0
  let saidNotReady = 0
  let backAfter = 0
  const deadline = performance.now() + milliseconds
  do {
    await sleep(random() * work)
    await stage.postgres.freeze()
    const over = performance.now() + frozen * (1 + random() / 2)
    freezes += 1
    while (performance.now() < over) {
      for (const { origin } of stage.services) {
        const status = await stage.ready(origin)
        if (status === 503) saidNotReady += 1
        else wrong.push(`freeze ${freezes}: /health/ready answered ${status} while PostgreSQL stood still`)
      }
      await sleep(200)
    }
    await stage.postgres.go()
    const since = performance.now()
    for (const { origin } of stage.services) {
      await until(
        `ready again by itself after freeze ${freezes}`,
        () => stage.ready(origin),
        (status) => status === 200
      )
    }
    backAfter = Math.max(backAfter, performance.now() - since)
    stage.task.say(`${freezes} times PostgreSQL stood still`)
  } while (performance.now() < deadline)
  for (const [index, service] of stage.services.entries()) {
    if (service.process().isOver() || service.process().pid !== pids[index]) wrong.push("the service ended by itself")
  }
  return {
    facts: {
      "times PostgreSQL stood still": freezes,
      "times /health/ready said 503 meanwhile": saidNotReady,
      "ready again after, ms at most": Math.round(backAfter)
    },
    wrong
  }
}

export const scenario: Scenario = {
  name: "freeze-postgres",
  about: "SIGSTOP of every process of PostgreSQL for longer than every time-out: 503 in time, and work goes on after",
  minutes: 3,
  run: async (task) => {
    const stage = await openStage(task, { services: 2 })
    return underLoad(stage, { processes: 4, lanes: 8 }, () =>
      freezePostgres(stage, task.milliseconds, { frozen: bound + 5000, work: 5000 })
    )
  }
}
