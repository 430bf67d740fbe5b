/** `npm run torture`: 1,000 good calls after every kind of error that a pooled connection can meet. */
import { makeGround } from "../ground.ts"
import type { Scenario } from "../scenario.ts"
import { afterEveryError } from "./errors.ts"
import { type Kind, kinds } from "./kinds.ts"
import { randomOf } from "../random.ts"

export const poolErrors: Scenario = {
  name: "pool-errors",
  about: "every kind of error on a pooled connection, 1,000 good calls after each: none of them fails",
  minutes: 3,
  run: async (task) => {
    const ground = await makeGround(task)
    const { shuffled } = randomOf(task.seed)
    const until = performance.now() + task.milliseconds
    // Each once at least, then in other orders for as long as there is time.
    let left: Array<Kind> = shuffled(kinds)
    let rounds = 1
    const order = () => {
      if (left.length === 0) {
        rounds += 1
        left = shuffled(kinds)
      }
      return rounds > 1 && performance.now() > until ? undefined : left.pop()
    }
    return afterEveryError(ground, {
      waits: { statementTimeout: 2000, connectTimeout: 1500 },
      calls: 1000,
      order,
      say: task.say
    })
  }
}
