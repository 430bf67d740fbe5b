/** Choices that a seed repeats. */
import { randomFrom } from "../../src/dev/stripe/faults.ts"

export interface Random {
  /** From 0 to below 1. */
  readonly next: () => number
  /** A whole number from 0 to below `count`. */
  readonly below: (count: number) => number
  readonly pick: <A>(from: ReadonlyArray<A>) => A
  readonly shuffled: <A>(from: ReadonlyArray<A>) => Array<A>
}

export const randomOf = (seed: number): Random => {
  const next = randomFrom(seed)
  const below = (count: number) => Math.floor(next() * count)
  return {
    next,
    below,
    pick: (from) => {
      const picked = from[below(from.length)]
      if (picked === undefined) throw new Error("nothing to pick from")
      return picked
    },
    shuffled: (from) =>
      from
        .map((each) => ({ each, place: next() }))
        .toSorted((a, b) => a.place - b.place)
        .map(({ each }) => each)
  }
}
