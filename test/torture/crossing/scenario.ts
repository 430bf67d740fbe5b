/** `npm run torture`: 64 clients who cross each other on 4 accounts, and Postgres's count of deadlocks. */
import { startService } from "../../bench/processes.ts"
import { makeGround } from "../ground.ts"
import type { Scenario } from "../scenario.ts"
import { crossing } from "./crossing.ts"

export const crossingClients: Scenario = {
  name: "crossing",
  about: "64 clients on 4 accounts, transfers, batches, holds and sweeps in opposing orders: no deadlock",
  minutes: 10,
  run: async (task) => {
    const ground = await makeGround(task)
    const serviceKey = "torture-service-key"
    const service = await startService(ground.urlAs("mana_service"), serviceKey, "")
    task.onEnd(service.stop)
    const { seed, milliseconds, say } = task
    return crossing(ground, {
      ...{ seed, milliseconds, say, accounts: 4, clients: 64, throughHttp: 8 },
      door: { url: `http://127.0.0.1:${service.port}`, serviceKey }
    })
  }
}
