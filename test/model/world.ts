/**
 * The service as a few lines of plain code: what every SQL function must agree with. Slow and simple on purpose;
 * a balance is added up from the rows each time it is asked for.
 */
import * as fc from "fast-check"
import { expect } from "vitest"
import type { TestDatabase } from "../support/database.ts"

/** Whatever the database answered; what it must be is said beside it. */
export type Answer = Awaited<ReturnType<TestDatabase["call"]>>

export interface Row {
  id: unknown
  readonly seq: number
  readonly type: string
  readonly amount: number
  readonly before: number
  readonly after: number
  readonly counterAccount: string
  readonly appId: string | null
  readonly description: string
  readonly metadata: object | null
  readonly key: string | null
  readonly related: unknown
  readonly caller: string
  readonly at: Date
}

export interface Hold {
  id: string
  readonly userId: string
  readonly amount: number
  readonly reason: string
  readonly appId: string | null
  readonly createdAt: Date
  readonly expiresAt: Date
  status: "open" | "committed" | "released" | "expired"
  closedAt?: Date
  committed?: number
  answer?: object
}

export interface Gift {
  id: string
  code: string
  readonly creatorId: string
  readonly creatorName: string | null
  readonly type: "simple" | "personalized"
  readonly targetEmail: string | null
  readonly totalCredits: number
  readonly message: string | null
  readonly createdAt: Date
  readonly expiresAt: Date
  readonly escrow: Row
  status: "active" | "redeemed" | "expired" | "cancelled"
  closedAt?: Date
}

export interface Redemption {
  readonly gift: Gift
  readonly userId: string
  readonly at: Date
}

interface Remembered {
  readonly request: string
  answer: object
}

export interface Account {
  readonly userId: string
  readonly rows: Array<Row>
  readonly keys: Map<string, Remembered>
  /** Transaction ids by reference. */
  readonly grants: Map<string, { id: unknown }>
}

export interface World {
  now: Date
  readonly accounts: Map<string, Account>
  readonly holds: Array<Hold>
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

export const open = (world: World, userId: string): Account => {
  const account = world.accounts.get(userId) ?? { userId, rows: [], keys: new Map(), grants: new Map() }
  world.accounts.set(userId, account)
  return account
}

const sum = (numbers: ReadonlyArray<number>) => numbers.reduce((total, each) => total + each, 0)

/** The balance as `credits.balance` answers it, at any time; now unless told. */
export const balance = (world: World, userId: string, at: Date = world.now) => {
  const amounts = (world.accounts.get(userId)?.rows ?? []).filter((row) => row.at <= at).map((row) => row.amount)
  const held = world.holds.filter(
    (hold) => hold.userId === userId && hold.createdAt <= at && (hold.closedAt === undefined || hold.closedAt > at)
  )
  const heldAmount = sum(held.map((hold) => hold.amount))
  return {
    balance: sum(amounts) - heldAmount,
    held: heldAmount,
    debt: 0,
    totalEarned: sum(amounts.filter((amount) => amount > 0)),
    totalSpent: -sum(amounts.filter((amount) => amount < 0)) + 0
  }
}

export type Posting = Pick<Row, "type" | "amount" | "counterAccount" | "description" | "caller"> &
  Partial<Pick<Row, "appId" | "metadata" | "key" | "related">>

/** A row of the ledger; its id is any text until the database has said it. */
export const post = (world: World, userId: string, posting: Posting): Row => {
  const { rows } = open(world, userId)
  const before = rows.at(-1)?.after ?? 0
  const row: Row = {
    appId: null,
    metadata: null,
    key: null,
    related: null,
    ...posting,
    id: expect.any(String),
    seq: rows.length + 1,
    before,
    after: before + posting.amount,
    at: world.now
  }
  rows.push(row)
  return row
}

/** A ledger row as the functions show it. */
export const shown = (userId: string, row: Row) => ({
  id: row.id,
  userId,
  type: row.type,
  status: "completed",
  amount: row.amount,
  balanceBefore: row.before,
  balanceAfter: row.after,
  appId: row.appId,
  description: row.description,
  metadata: row.metadata,
  idempotencyKey: row.key,
  relatedTransactionId: row.related,
  createdAt: row.at.toISOString(),
  completedAt: row.at.toISOString()
})

/** What a key remembers, by account, caller and key; null when there is nothing to remember. */
export const remembered = (world: World, userId: string, caller: string, key: string | null) =>
  key === null ? undefined : world.accounts.get(userId)?.keys.get(`${caller} ${key}`)

export const remember = (
  world: World,
  userId: string,
  caller: string,
  key: string | null,
  request: string,
  answer: object
): Remembered => {
  const memory = { request, answer }
  if (key !== null) open(world, userId).keys.set(`${caller} ${key}`, memory)
  return memory
}
