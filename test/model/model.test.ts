import * as fc from "fast-check"
import { expect, test } from "vitest"
import { database, refusalOf, type TestDatabase } from "../support/database.ts"
import { balance } from "./books.ts"
import { creditsCommands, funding, users } from "./credits.ts"
import { giftCommands, state } from "./gifts.ts"
import { again, type Answer, type Command, newWorld, type World } from "./world.ts"

/**
 * Random sequences of everything the service does, against the model: every answer equal, ops.verify() empty after
 * every step. A failure prints its seed and the shortest sequence that shows it; `MODEL_SEED=… npm test` repeats it.
 */
const isSoak = process.env["MANA_SOAK"] === "1"
const seed = Number(process.env["MODEL_SEED"] ?? Date.now() % 2 ** 31)
const runs = Number(process.env["MODEL_RUNS"] ?? (isSoak ? 2000 : 25))
const longest = isSoak ? 150 : 50

const db = await database()

/** Books with nothing in them but the price list, past every guard: only a test throws books away. */
const emptyBooks = async () => {
  const tables = await db.query(
    `select string_agg(c.oid::regclass::text, ', ') as list
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind = 'r' and n.nspname in ('credits', 'gifts', 'sync', 'stripe') and c.relname <> 'operations'`
  )
  const client = await db.pool.connect()
  try {
    await client.query("begin; set local session_replication_role = replica")
    await client.query(`truncate ${tables[0].list}`)
    await client.query("commit")
  } finally {
    client.release()
  }
}

const outcome = async (ask: (asked: TestDatabase) => Promise<Answer>): Promise<object> => {
  try {
    return { answer: await ask(db) }
  } catch (error) {
    return { refused: refusalOf(error) }
  }
}

const step = async (world: World, command: Command) => {
  const { ask, expected } = command.move(world)
  const real = await outcome(ask)
  if ("refused" in expected) {
    expect(real).toEqual({ refused: expected.refused })
  } else {
    expect(real).toEqual({ answer: expected.answer })
    if ("answer" in real) expected.bind?.(real.answer)
  }
  await db.verify()
}

/** At the end, everybody's balance and the state of every hold and gift. */
const compare = async (world: World) => {
  for (const userId of users) {
    expect(await db.call("credits.balance", { userId })).toEqual(balance(world, userId))
    const row = await db.balanceRow(userId)
    expect(row?.version ?? 0).toBe(world.accounts.get(userId)?.rows.length ?? 0)
  }
  const holds = await db.query("select id, status, amount, committed_amount from credits.reservations order by id")
  expect(holds).toEqual(
    world.holds
      .map(({ id, status, amount, committed }) => ({ id, status, amount, committed_amount: committed ?? null }))
      .toSorted((a, b) => (a.id < b.id ? -1 : 1))
  )
  const gifts = await db.query("select id, status, total_credits from gifts.gift_codes order by id")
  expect(gifts).toEqual(world.gifts.map(state))
}

test(`the service does what the model does: ${runs} sequences`, { timeout: isSoak ? 0 : 120_000 }, async () => {
  console.log(`model: MODEL_SEED=${seed}`)
  const anything = fc.oneof({ weight: 8, arbitrary: again }, ...creditsCommands, ...giftCommands)
  // Two of three have something to begin with: most of what people do needs credits.
  const sequence = fc
    .tuple(funding("ada"), funding("ben"), fc.array(anything, { minLength: 1, maxLength: longest, size: "max" }))
    .map(([ada, ben, rest]) => [ada, ben, ...rest])
  await fc.assert(
    fc.asyncProperty(sequence, async (commands) => {
      await emptyBooks()
      const world = newWorld()
      for (const command of commands) await step(world, command)
      await compare(world)
    }),
    { seed, numRuns: runs, errorWithCause: true }
  )
})
