/** Waiting, with a bound. */
import { setTimeout as sleep } from "node:timers/promises"

/** Asks again until the answer is as hoped; throws with the last answer when the time is over. */
export const until = async <A>(
  what: string,
  ask: () => Promise<A>,
  hoped: (answer: A) => boolean,
  within = 30_000
): Promise<A> => {
  const deadline = performance.now() + within
  for (;;) {
    const answer = await ask()
    if (hoped(answer)) return answer
    if (performance.now() > deadline) {
      throw new Error(`not within ${within / 1000} s: ${what}; the last answer: ${JSON.stringify(answer)}`)
    }
    await sleep(20)
  }
}

export { sleep }
