/** Asks without a pause over so many lanes for so long, and measures. */
import { type Measured, quantile } from "./numbers.ts"

/** `ask` does one request on a lane and answers how many debits it was. */
export const spread = async (
  lanes: number,
  seconds: number,
  ask: (lane: number, index: number) => Promise<number>
): Promise<Measured> => {
  const times: Array<number> = []
  const cpu = process.cpuUsage()
  const from = performance.now()
  const until = from + seconds * 1000
  let done = 0
  let index = 0
  const run = async (lane: number) => {
    while (performance.now() < until) {
      const asked = performance.now()
      const answered = await ask(lane, index++)
      done += answered
      times.push(performance.now() - asked)
    }
  }
  await Promise.all(Array.from({ length: lanes }, (_each, lane) => run(lane)))
  const { user, system } = process.cpuUsage(cpu)
  return {
    done,
    seconds: (performance.now() - from) / 1000,
    p50: quantile(times, 0.5),
    p99: quantile(times, 0.99),
    generatorCpuSeconds: (user + system) / 1e6
  }
}
