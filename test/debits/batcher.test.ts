import { randomUUID } from "node:crypto"
import { Effect, Result } from "effect"
import { expect, test } from "vitest"
import { type Debit, type Limits, make } from "../../src/debits/batcher.ts"
import { database } from "../support/database.ts"
import { servicePool } from "../support/pool.ts"
import { session } from "../support/session.ts"
import { eventually } from "../support/wait.ts"

const db = await database()

const application = `batcher ${randomUUID()}`

/** The batcher as the service has it, on connections of its own; what it answers as promises. */
const context = await servicePool(db, { applicationName: application })
const batcher = async (limits?: Limits) => {
  const { use } = await Effect.runPromise(Effect.provide(make(limits), context))
  return (debit: Partial<Debit> & { readonly userId: string }) =>
    Effect.runPromise(
      Effect.result(use({ amount: 1, appId: "chat", description: "one", caller: "service:test", ...debit }))
    )
}

/** A session that holds the user's balance: whoever wants it waits until the release. */
const holding = async (userId: string) => {
  const holder = await session(db)
  await holder.query("begin")
  await holder.call("credits.use", { userId, amount: 1, appId: "chat", description: "holds the lock" })
  return { release: () => holder.query("commit") }
}

const waitingForLocks = (count: number) =>
  eventually(
    async () => {
      const rows = await db.query(
        `select pid from pg_stat_activity
         where datname = current_database() and application_name = $1 and wait_event_type = 'Lock'`,
        [application]
      )
      return rows.length
    },
    (waiting) => waiting === count
  )

/** The transactions of the database that wrote these users' debits, and how many rows each of them wrote. */
const writers = async (userIds: ReadonlyArray<string>): Promise<ReadonlyArray<number>> => {
  const rows = await db.query(
    `select count(*) as rows from credits.transactions
     where user_id = any ($1) and type = 'usage' and description <> 'holds the lock' group by xmin::text order by 1`,
    [userIds]
  )
  return rows.map(({ rows: each }) => each)
}

const users = (count: number, amount: number) => Promise.all(Array.from({ length: count }, () => db.userWith(amount)))

const right = <A, E>(result: Result.Result<A, E>) => Result.getOrThrowWith(result, (error) => new Error(String(error)))
const left = <A, E>(result: Result.Result<A, E>) => right(Result.flip(result))

/** One slot, taken by a debit that waits for a lock: everything asked until the release waits in the room. */
const oneSlot: Limits = {
  ...{ maxCallsInFlight: 1, maxBatchItems: 100, eagerBatchItems: 100, slotTimeoutMs: 60_000 },
  ...{ maxWaiting: 1000, maxWaitingPerUser: 1000 }
}
const piledUp = async (use: Awaited<ReturnType<typeof batcher>>) => {
  const blocked = await db.userWith(10)
  const holder = await holding(blocked)
  const first = use({ userId: blocked })
  await waitingForLocks(1)
  return async () => {
    await holder.release()
    right(await first)
  }
}

test("with nobody waiting each goes alone", async () => {
  const use = await batcher()
  const userIds = await users(3, 10)
  for (const userId of userIds) expect(right(await use({ userId })).newBalance).toEqual({ balance: 9, totalSpent: 1 })
  expect(await writers(userIds)).toEqual([1, 1, 1])
})

test("those that wait travel in one transaction, and each gets its own answer", async () => {
  const use = await batcher(oneSlot)
  const userIds = await users(20, 10)
  const release = await piledUp(use)
  const answers = Promise.all(userIds.map((userId, index) => use({ userId, amount: 1 + (index % 5) })))
  await release()
  for (const [index, answer] of (await answers).entries()) {
    const { transaction, newBalance } = right(answer)
    expect(transaction).toMatchObject({ userId: userIds[index], amount: -1 - (index % 5) })
    expect(newBalance.balance).toBe(9 - (index % 5))
  }
  expect(await writers(userIds)).toEqual([20])
})

test("a batch is bounded", async () => {
  const use = await batcher({ ...oneSlot, maxBatchItems: 8 })
  const userIds = await users(20, 10)
  const release = await piledUp(use)
  const answers = Promise.all(userIds.map((userId) => use({ userId })))
  await release()
  for (const answer of await answers) right(answer)
  expect(await writers(userIds)).toEqual([4, 8, 8])
})

test("a refused neighbour changes nothing for the others, and callers stay apart", async () => {
  const use = await batcher(oneSlot)
  const [rich = "", poor = "", other = ""] = [await db.userWith(10), await db.userWith(2), await db.userWith(10)]
  const release = await piledUp(use)
  const answers = Promise.all([
    use({ userId: rich, caller: "service:a", idempotencyKey: "k" }),
    use({ userId: poor, amount: 3 }),
    use({ userId: "" }),
    use({ userId: "nobody-has-this" }),
    use({ userId: rich, caller: "service:b", idempotencyKey: "k" }),
    use({ userId: other, caller: "user" })
  ])
  await release()
  const [byA, tooMuch, nameless, unknown, byB, byUser] = await answers
  expect(left(tooMuch)).toMatchObject({ sqlstate: "CR002", detail: { required: 3, available: 2 } })
  expect(left(nameless)).toMatchObject({ sqlstate: "CR001" })
  expect(left(unknown)).toMatchObject({ sqlstate: "CR002" })
  expect([byA, byB, byUser].map((each) => right(each).newBalance.balance)).toEqual([9, 8, 9])
  const rows = await db.query(
    "select caller from credits.transactions where user_id = any ($1) and type = 'usage' order by caller",
    [[rich, other]]
  )
  expect(rows.map(({ caller }) => caller)).toEqual(["service:a", "service:b", "user"])
})

test("within a batch a key is charged once, replayed, and refused for another request", async () => {
  const use = await batcher(oneSlot)
  const userId = await db.userWith(10)
  const release = await piledUp(use)
  const answers = Promise.all([
    use({ userId, idempotencyKey: "once" }),
    use({ userId, idempotencyKey: "once" }),
    use({ userId, amount: 2, idempotencyKey: "once" })
  ])
  await release()
  const [first, again, another] = await answers
  const { replayed, ...replay } = right(again)
  expect(replayed).toBe(true)
  expect(replay).toEqual(right(first))
  expect(left(another)).toMatchObject({ sqlstate: "CR003" })
  expect((await db.balanceRow(userId)).balance).toBe(9)
})

test("a call that fails as a whole is made again for each alone", async () => {
  const use = await batcher(oneSlot)
  const userIds = await users(4, 10)
  const release = await piledUp(use)
  const answers = Promise.all(userIds.map((userId) => use({ userId })))
  // What jsonb can't hold fails the whole call, and its own debit alone.
  const broken = use({ userId: userIds[0] ?? "", description: "\u0000" }).then(
    () => "answered",
    () => "died"
  )
  await release()
  for (const answer of await answers) expect(right(answer).newBalance.balance).toBe(9)
  expect(await broken).toBe("died")
  expect(await writers(userIds)).toEqual([1, 1, 1, 1])
})

test("an answer that isn't one is its own debits' fault, and their users can be charged again", async () => {
  const use = await batcher(oneSlot)
  const userIds = await users(4, 10)
  await db.query(`
    alter function credits.use_many rename to use_many_of_ours;
    create function credits.use_many(p_items jsonb, p_caller text, p_is_capped boolean) returns jsonb
      return '{"success": true}'::jsonb;
    grant execute on function credits.use_many to mana_service`)
  const release = await piledUp(use)
  const together = Promise.allSettled(userIds.map((userId) => use({ userId })))
  await release()
  for (const { status } of await together) expect(status).toBe("rejected")
  await db.query("drop function credits.use_many; alter function credits.use_many_of_ours rename to use_many")

  const releaseAgain = await piledUp(use)
  const again = Promise.all(userIds.map((userId) => use({ userId })))
  await releaseAgain()
  for (const answer of await again) expect(right(answer).newBalance.balance).toBe(9)
})

test("a lost connection: what has a key is made once, what has none is told to try again", async () => {
  const use = await batcher(oneSlot)
  const [keyed, keyless] = [await db.userWith(10), await db.userWith(10)]
  const release = await piledUp(use)
  const holder = await holding(keyed)
  const answers = Promise.all([use({ userId: keyed, idempotencyKey: "k" }), use({ userId: keyless })])
  await release()
  await waitingForLocks(1)
  await db.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and application_name = $1 and wait_event_type = 'Lock'`,
    [application]
  )
  await waitingForLocks(1)
  await holder.release()
  const [withKey, without] = await answers
  expect(right(withKey).newBalance.balance).toBe(8)
  expect(left(without)).toMatchObject({ _tag: "Unavailable" })
  expect((await db.balanceRow(keyless)).balance).toBe(10)
})

test("beyond what may wait a debit is refused at once, and nothing of it is made", async () => {
  const use = await batcher({ ...oneSlot, maxWaiting: 2 })
  const userIds = await users(3, 10)
  const release = await piledUp(use)
  const [first = "", second = "", third = ""] = userIds
  const waiting = Promise.all([use({ userId: first }), use({ userId: second })])
  expect(left(await use({ userId: third }))).toMatchObject({ _tag: "Overloaded" })
  await release()
  for (const answer of await waiting) right(answer)
  expect((await db.balanceRow(third)).balance).toBe(10)
  // The room has emptied: it takes more.
  right(await use({ userId: third }))
})

test("200 debits of 1 on a balance of 100: exactly 100 win, 10 times over", { timeout: 60_000 }, async () => {
  const use = await batcher({ ...oneSlot, maxCallsInFlight: 3, maxBatchItems: 25, slotTimeoutMs: 100 })
  for (let round = 0; round < 10; round++) {
    const userId = await db.userWith(100)
    const answers = await Promise.all(Array.from({ length: 200 }, () => use({ userId })))
    const refused = answers.filter(Result.isFailure).map(left)
    expect(refused).toHaveLength(100)
    for (const each of refused) expect(each).toMatchObject({ sqlstate: "CR002" })
    expect(await db.balanceRow(userId)).toMatchObject({ balance: 0, total_spent: 100, version: 101 })
  }
})

test("debits on many users in any order: the totals are right", async () => {
  const use = await batcher({ ...oneSlot, maxCallsInFlight: 3, maxBatchItems: 10, slotTimeoutMs: 100 })
  const userIds = await users(5, 100)
  const asked = Array.from({ length: 200 }, (_each, index) => userIds[(index * 7) % 5] ?? "")
  for (const answer of await Promise.all(asked.map((userId) => use({ userId })))) right(answer)
  for (const userId of userIds) expect(await db.balanceRow(userId)).toMatchObject({ balance: 60, version: 41 })
})

test("a balance that somebody holds up holds up nobody else, neither in a slot nor in a batch", async () => {
  const use = await batcher({ ...oneSlot, slotTimeoutMs: 20 })
  const blocked = await db.userWith(10)
  const holder = await holding(blocked)
  const others = await users(10, 10)
  // The first takes the only slot; the rest meet in batches that hold a debit of the held-up balance each time.
  const stuck = [use({ userId: blocked }), use({ userId: blocked }), use({ userId: blocked })]
  const free = await Promise.all(others.map((userId) => use({ userId })))
  expect(free.map((answer) => right(answer).newBalance.balance)).toEqual(others.map(() => 9))
  await holder.release()
  expect((await Promise.all(stuck)).map((answer) => Result.isSuccess(answer))).toEqual([true, true, true])
  expect((await db.call("credits.balance", { userId: blocked })).balance).toBe(6)
})

test("however many debits of a held-up balance wait, they take one connection, and the others go on", async () => {
  const use = await batcher()
  const [blocked, companion] = [await db.userWith(100), await db.userWith(10)]
  const holder = await holding(blocked)
  const stuck = Array.from({ length: 40 }, () => use({ userId: blocked }))
  // In one batch with the first of them: given up whole, then each user's debits for themselves.
  const beside = use({ userId: companion })
  expect(right(await beside).newBalance.balance).toBe(9)
  await waitingForLocks(1)
  const bystanders = await users(20, 10)
  for (const userId of [companion, ...bystanders]) right(await use({ userId }))
  await waitingForLocks(1)
  await holder.release()
  for (const answer of await Promise.all(stuck)) right(answer)
  expect((await db.call("credits.balance", { userId: blocked })).balance).toBe(59)
})

test("a user whose debits fill their part of the room is refused more, and nobody else", async () => {
  const use = await batcher({ ...oneSlot, maxCallsInFlight: 2, maxWaitingPerUser: 5 })
  const [busy, other] = [await db.userWith(100), await db.userWith(10)]
  const holder = await holding(busy)
  const first = use({ userId: busy })
  await waitingForLocks(1)
  const waiting = Array.from({ length: 5 }, () => use({ userId: busy }))
  expect(left(await use({ userId: busy }))).toMatchObject({ _tag: "Overloaded" })
  right(await use({ userId: other }))
  await holder.release()
  for (const answer of await Promise.all([first, ...waiting])) right(answer)
})

test("once the server is away for one of a user's debits, the others don't find out one after the other", async () => {
  const use = await batcher({ ...oneSlot, maxCallsInFlight: 2 })
  const userId = await db.userWith(100)
  const holder = await holding(userId)
  const first = use({ userId })
  await waitingForLocks(1)
  const waiting = Array.from({ length: 20 }, () => use({ userId }))
  const cutOff = () =>
    eventually(
      () =>
        db.query(
          `select pg_terminate_backend(pid) from pg_stat_activity
           where application_name = $1 and wait_event_type = 'Lock' and query ~ 'credits.use\\('`,
          [application]
        ),
      (ended) => ended.length === 1
    )
  await cutOff()
  expect(left(await first)).toMatchObject({ _tag: "Unavailable" })
  // They go in one call, which is given up for the lock, and then the first of them alone.
  await cutOff()
  for (const answer of await Promise.all(waiting)) expect(left(answer)).toMatchObject({ _tag: "Unavailable" })
  await holder.release()
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 99 })
})
