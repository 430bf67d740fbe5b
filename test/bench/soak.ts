/** The same load minute after minute: whether latency and memory stay what they were. */
import type { Measured } from "./numbers.ts"
import { perSecond } from "./numbers.ts"
import { residentMb } from "./processes.ts"

export interface Minute {
  readonly perSecond: number
  readonly p50: number
  readonly p99: number
  readonly serviceMb: number | undefined
}

/** `load` is one minute of it. */
export const soak = async (
  minutes: number,
  pid: number,
  load: () => Promise<Measured>,
  say: (line: string) => void
): Promise<ReadonlyArray<Minute>> => {
  const seen: Array<Minute> = []
  for (let minute = 1; minute <= minutes; minute++) {
    const measured = await load()
    const { p50, p99 } = measured
    const serviceMb = await residentMb(pid)
    seen.push({ perSecond: perSecond(measured), p50, p99, serviceMb })
    say(
      `minute ${minute}: HTTP ${Math.round(perSecond(measured))}/s, p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, ` +
        `service ${serviceMb ?? "?"} MB`
    )
  }
  return seen
}
