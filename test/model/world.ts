/** The service on top of the model's books, as commands: what every SQL function must agree with. */
import * as fc from "fast-check"
import { expect } from "vitest"
import type { TestDatabase } from "../support/database.ts"
import { type Books, type Gift, post as postWithId, type Posting, type Redemption, type Row } from "./books.ts"

/** Whatever the database answered; what it must be is said beside it. */
export type Answer = Awaited<ReturnType<TestDatabase["call"]>>

export interface World extends Books {
  readonly gifts: Array<Gift>
  readonly redemptions: Array<Redemption>
  /** When who asked for a code that doesn't exist. */
  readonly misses: Map<string, ReadonlyArray<Date>>
  /** What was asked so far, to be asked again. */
  readonly asked: Array<Command>
}

export const newWorld = (): World => ({
  now: new Date("2026-03-01T12:00:00Z"),
  accounts: new Map(),
  holds: [],
  gifts: [],
  redemptions: [],
  misses: new Map(),
  asked: []
})

/** What a call should come to. `bind` tells the model what only the database knows: the ids it made up. */
export type Expected =
  { readonly refused: object } | { readonly answer: unknown; readonly bind?: (answer: Answer) => void }

/** One step of a sequence: moves the model, and says what to ask of the database and what to hear. */
export interface Command {
  readonly move: (world: World) => { readonly ask: (db: TestDatabase) => Promise<Answer>; readonly expected: Expected }
  /** How fast-check shows it in a counterexample. */
  readonly [fc.toStringMethod]: () => string
}

export const command = <P extends object>(
  name: string,
  params: fc.Arbitrary<P>,
  move: (world: World, params: P) => ReturnType<Command["move"]>
): fc.Arbitrary<Command> =>
  params.map((chosen) => {
    const made: Command = {
      move: (world) => {
        world.asked.push(made)
        return move(world, chosen)
      },
      [fc.toStringMethod]: () => `${name}(${JSON.stringify(chosen)})`
    }
    return made
  })

/** One of a list by a number that knows nothing of its length; undefined when it is empty. */
export const pick = <A>(list: ReadonlyArray<A>, index: number): A | undefined => list[index % Math.max(list.length, 1)]

/** The very request of an earlier step, as a client sends it that heard no answer. */
export const again: fc.Arbitrary<Command> = fc.nat({ max: 60 }).map((index) => ({
  move: (world) =>
    pick(world.asked, index)?.move(world) ?? { ask: () => Promise.resolve("nothing"), expected: { answer: "nothing" } },
  [fc.toStringMethod]: () => `again(${index})`
}))

/** A row of the ledger; its id is any text until the database has said it. */
export const post = (world: World, userId: string, posting: Posting): Row =>
  postWithId(world, userId, posting, expect.any(String))
