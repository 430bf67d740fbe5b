/** Faults on demand between a client and the simulated API: for the next matching calls, or at random from a seed. */

export const faultKinds = [
  /** The call never arrives: no answer, nothing done. */
  "timeout-before",
  /** The work is done, the answer never comes. */
  "timeout-after",
  /** The connection is reset before the call arrives. */
  "reset-before",
  /** The work is done, the connection is reset in place of an answer. */
  "reset-after",
  /** The work is done, the connection breaks in the middle of the answer. */
  "cut-off",
  /** Too many requests: nothing done, nothing remembered of the key. */
  "429",
  /** Nothing done, nothing remembered of the key. */
  "500",
  /** The work is done; the answer is 500, and that is what the key remembers, as Stripe documents. */
  "500-after",
  /** The work begins and waits, its key in use, until `release`. */
  "stall"
] as const
export type FaultKind = (typeof faultKinds)[number]

export interface CallMatch {
  readonly method?: "GET" | "POST"
  /** The beginning of the path: `/v1/payment_intents`. */
  readonly path?: string
}

export interface Struck extends Required<CallMatch> {
  readonly kind: FaultKind
}

export interface RandomFaults extends CallMatch {
  readonly seed: number
  /** From 0 to 1: of a call being struck. */
  readonly chance: number
  /** All but `stall`, which nobody would release. */
  readonly kinds?: ReadonlyArray<FaultKind>
}

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
export const randomFrom = (seed: number) => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

interface Planned {
  readonly kind: FaultKind
  readonly match: CallMatch
  left: number
}

export interface Faults {
  /** The next `times` matching calls meet this. */
  readonly plan: (kind: FaultKind, match: CallMatch, times: number) => void
  readonly randomly: (faults: RandomFaults) => void
  readonly clear: () => void
  readonly struck: () => ReadonlyArray<Struck>
  /** Lets stalled calls go on. */
  readonly release: () => void
  /** How many calls are stalled. */
  readonly stalled: () => number
  /** What this call meets. */
  readonly take: (method: "GET" | "POST", path: string) => FaultKind | undefined
  readonly stall: () => Promise<void>
}

export const makeFaults = (): Faults => {
  let planned: Array<Planned> = []
  let random: (RandomFaults & { readonly next: () => number }) | undefined
  let struck: Array<Struck> = []
  let waiting: Array<() => void> = []

  const isMeant = (match: CallMatch, method: string, path: string) =>
    (match.method === undefined || match.method === method) && path.startsWith(match.path ?? "")

  const chosen = (method: string, path: string): FaultKind | undefined => {
    const plan = planned.find((it) => it.left > 0 && isMeant(it.match, method, path))
    if (plan !== undefined) {
      plan.left -= 1
      return plan.kind
    }
    if (random === undefined || !isMeant(random, method, path) || random.next() >= random.chance) return undefined
    const kinds = random.kinds ?? faultKinds.filter((kind) => kind !== "stall")
    return kinds[Math.floor(random.next() * kinds.length)]
  }

  return {
    plan: (kind, match, times) => void planned.push({ kind, match, left: times }),
    randomly: (faults) => {
      random = { ...faults, next: randomFrom(faults.seed) }
    },
    clear: () => {
      planned = []
      random = undefined
      struck = []
    },
    struck: () => [...struck],
    release: () => {
      for (const go of waiting) go()
      waiting = []
    },
    stalled: () => waiting.length,
    take: (method, path) => {
      const kind = chosen(method, path)
      if (kind !== undefined) struck.push({ kind, method, path })
      return kind
    },
    stall: () => new Promise((resolve) => waiting.push(resolve))
  }
}
