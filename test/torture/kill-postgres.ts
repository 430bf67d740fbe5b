/** Fault 1: PostgreSQL is killed whole, again and again, and the service comes back by itself each time. */
import { randomFrom } from "../../src/dev/stripe/faults.ts"
import { underLoad } from "./load.ts"
import { atLeast, type Scenario } from "./scenario.ts"
import { openStage, type Stage } from "./stage.ts"
import { sleep, until } from "./wait.ts"

export interface KillOptions {
  /** Milliseconds of work between two kills, at most. */
  readonly work: number
  /** Milliseconds that the server is away, at most. */
  readonly away: number
  readonly atLeast: number
}

/** Kills for as long as it has, and until there were as many as there should be. */
export const killPostgres = async (stage: Stage, milliseconds: number, { work, away, atLeast: least }: KillOptions) => {
  const random = randomFrom(stage.task.seed)
  const wrong: Array<string> = []
  const pids = stage.services.map((service) => service.process().pid)
  const backAfter: Array<number> = []
  let kills = 0
  let killed = 0
  let saidNotReady = 0
  const deadline = performance.now() + milliseconds
  while (performance.now() < deadline || kills < least) {
    await sleep(random() * work)
    killed += await stage.postgres.kill()
    kills += 1
    const up = performance.now() + random() * away
    do {
      for (const { origin } of stage.services) {
        const status = await stage.ready(origin)
        if (status === 503) saidNotReady += 1
        else wrong.push(`kill ${kills}: /health/ready answered ${status} while PostgreSQL was dead`)
      }
      await sleep(50)
    } while (performance.now() < up)
    await stage.postgres.start()
    const since = performance.now()
    for (const { origin } of stage.services) {
      await until(
        `ready again by itself after kill ${kills}`,
        () => stage.ready(origin),
        (status) => status === 200
      )
    }
    backAfter.push(performance.now() - since)
    if (kills % 10 === 0) stage.task.say(`${kills} kills of PostgreSQL`)
  }
  for (const [index, service] of stage.services.entries()) {
    if (service.process().isOver() || service.process().pid !== pids[index]) wrong.push("the service ended by itself")
  }
  return {
    facts: {
      "kills of PostgreSQL": kills,
      "processes killed": killed,
      "times /health/ready said 503 meanwhile": saidNotReady,
      "ready again after, ms at most": Math.round(Math.max(0, ...backAfter))
    },
    wrong
  }
}

export const scenario: Scenario = {
  name: "kill-postgres",
  about:
    "kill -9 of every process of PostgreSQL under 32 clients: 503 meanwhile, back by itself, nothing lost or doubled",
  minutes: 9,
  run: async (task) => {
    const stage = await openStage(task, { services: 2 })
    return underLoad(stage, { processes: 4, lanes: 8 }, () =>
      killPostgres(stage, task.milliseconds, { work: 1500, away: 1200, atLeast: atLeast(100, scenario, task) })
    )
  }
}
