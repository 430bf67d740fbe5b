/** The credits room as commands of the model: each function of credits.* and the hand-made rows of ops.*. */
import * as fc from "fast-check"
import { expect } from "vitest"
import {
  beyondCharge,
  invalid,
  keyReused,
  nobodysId,
  noReservation,
  notEnough,
  noTransaction,
  reservationClosed
} from "../support/refusals.ts"
import { balance, type Hold, open, remember, remembered, shown } from "./books.ts"
import { type Answer, type Command, command, type Expected, pick, post, type World } from "./world.ts"

// Few of each, so that sequences meet the same account, key and reference again.
export const users = ["ada", "ben", "cem"]
const user = fc.constantFrom(...users)
const caller = fc.constantFrom("service:chat", "service:picture")
const app = fc.constantFrom("chat", "picture")
const key = fc.option(fc.constantFrom("k1", "k2", "k3"), { freq: 2 })
const metadata = fc.option(fc.constantFrom({ a: 1 }, { a: 1, b: [null] }), { freq: 1 })
/** Mostly what an account can afford a few times. */
const amount = fc.oneof(
  { weight: 20, arbitrary: fc.integer({ min: 1, max: 60 }) },
  { weight: 1, arbitrary: fc.constantFrom(0, -1, 1_000_000_000, 1_000_000_001) }
)
const prices: Readonly<Record<string, number>> = { chat_gpt4: 5, image_generation: 10, research_deep: 25 }
/** What to charge: an amount, or an operation of the price list, or (rarely) what is neither or both. */
const charge = fc.oneof(
  { weight: 8, arbitrary: fc.record({ amount, operation: fc.constant(null), quantity: fc.constant(null) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      amount: fc.constant(null),
      operation: fc.constantFrom(...Object.keys(prices), "flying"),
      quantity: fc.constantFrom(null, 1, 2, 3, 0)
    })
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      { amount: null, operation: null, quantity: null },
      { amount: 5, operation: "chat_gpt4", quantity: null }
    )
  }
)

const isAmount = (value: number | null): value is number => value !== null && value >= 1 && value <= 1_000_000_000

/** Credits to charge, or the path of what is wrong. */
const toCharge = ({ amount: given, operation, quantity }: typeof charge extends fc.Arbitrary<infer C> ? C : never) => {
  if (operation === null) return isAmount(given) ? given : "amount"
  if (given !== null) return "amount"
  const units = quantity ?? 1
  if (units < 1) return "quantity"
  const price = prices[operation]
  return price === undefined ? "operation" : price * units
}

const debit = fc
  .record({ userId: user, appId: app, description: fc.constantFrom("one", "two"), metadata, idempotencyKey: key })
  .chain((fixed) => charge.map((charged) => ({ ...fixed, ...charged })))

type Debit = typeof debit extends fc.Arbitrary<infer D> ? D : never

/** A debit, alone or in a batch. */
const use = (world: World, request: Debit, by: string): Expected => {
  const { userId, appId, description, idempotencyKey } = request
  const identity = JSON.stringify([
    "use",
    request.amount,
    appId,
    description,
    request.metadata,
    request.operation,
    request.quantity
  ])
  const memory = remembered(world, userId, by, idempotencyKey)
  if (memory !== undefined) {
    return memory.request === identity
      ? { answer: { ...memory.answer, replayed: true } }
      : { refused: keyReused(idempotencyKey ?? "") }
  }
  const charged = toCharge(request)
  if (typeof charged === "string") return { refused: invalid(charged) }
  const spendable = balance(world, userId).balance
  if (spendable < charged) return { refused: notEnough(charged, spendable) }

  const priced =
    request.operation === null
      ? request.metadata
      : { ...request.metadata, operation: request.operation, quantity: request.quantity ?? 1 }
  const row = post(world, userId, {
    type: "usage",
    amount: -charged,
    counterAccount: `revenue:${appId}`,
    appId,
    description,
    metadata: priced,
    key: idempotencyKey,
    caller: by
  })
  const after = balance(world, userId)
  const answer = {
    transaction: shown(userId, row),
    newBalance: { balance: after.balance, totalSpent: after.totalSpent }
  }
  const kept = remember(world, userId, by, idempotencyKey, identity, answer)
  return {
    answer,
    bind: ({ transaction, newBalance }) => {
      row.id = transaction.id
      kept.answer = { transaction, newBalance }
    }
  }
}

const useOne = command("use", fc.record({ request: debit, caller }), (world, { request, caller: by }) => ({
  ask: (db) => db.call("credits.use", { ...request, caller: by, now: world.now }),
  expected: use(world, request, by)
}))

const malformed = fc.constantFrom<ReadonlyArray<unknown>>(
  [{ amount: "5" }, "amount"],
  [{ amount: 0.5 }, "amount"],
  [{ amount: 1e30 }, "amount"],
  [{ userId: 7 }, "userId"],
  [{ appId: "" }, "appId"],
  [{ metadata: [] }, "metadata"]
)

/** Many at once: as one service sends them, or, debits that travel together, each with a caller of its own. */
const useMany = command(
  "useMany",
  fc.record({
    items: fc.array(fc.tuple(debit, fc.option(malformed, { freq: 8 }), caller), { minLength: 1, maxLength: 6 }),
    caller: fc.option(caller)
  }),
  (world, { items, caller: by }) => {
    const flawless = { amount: 5, operation: null, quantity: null, idempotencyKey: null }
    const sent = items.map(([item, flaw, own]) => ({
      ...(flaw ? { ...item, ...flawless, ...Object(flaw[0]) } : item),
      ...(by === null ? { caller: own } : {})
    }))
    const outcomes = items.map(([item, flaw, own]) =>
      flaw ? { refused: invalid(String(flaw[1])) } : use(world, item, by ?? own)
    )
    const now = world.now
    return {
      ask: (db) => db.call("credits.use_many", { items: sent, caller: by, now }),
      expected: {
        answer: {
          results: outcomes.map((outcome) =>
            "refused" in outcome ? { ok: false, error: outcome.refused } : { ok: true, ...Object(outcome.answer) }
          )
        },
        bind: ({ results }) => {
          for (const [index, outcome] of outcomes.entries()) {
            if ("bind" in outcome) outcome.bind?.(results[index])
          }
        }
      }
    }
  }
)

const refund = command(
  "refund",
  fc.record({
    userId: user,
    amount,
    description: fc.constantFrom("sorry", "very sorry"),
    appId: fc.option(app),
    idempotencyKey: key,
    caller,
    /** Which row of whose ledger, mostly a charge; null for a free refund. */
    of: fc.option(
      fc.record({ userId: user, index: fc.nat({ max: 30 }), isCharge: fc.constantFrom(true, true, true, false) }),
      { freq: 3 }
    )
  }),
  (world, { of, caller: by, ...request }) => {
    const { userId, idempotencyKey } = request
    const choice = of === null ? [] : (world.accounts.get(of.userId)?.rows ?? [])
    const row = pick(of?.isCharge ? choice.filter(({ type }) => type === "usage") : choice, of?.index ?? 0)
    // A row that isn't there: an id that nothing has.
    const transactionId = of === null ? null : String(row?.id ?? nobodysId)
    const now = world.now
    const ask: ReturnType<Command["move"]>["ask"] = (db) =>
      db.call("credits.refund", { ...request, transactionId, caller: by, now })
    const identity = JSON.stringify(["refund", request.amount, request.description, request.appId, transactionId])

    if (!isAmount(request.amount)) return { ask, expected: { refused: invalid("amount") } }
    const memory = remembered(world, userId, by, idempotencyKey)
    if (memory !== undefined) {
      const expected =
        memory.request === identity
          ? { answer: { ...memory.answer, replayed: true } }
          : { refused: keyReused(idempotencyKey ?? "") }
      return { ask, expected }
    }
    const rows = world.accounts.get(userId)?.rows ?? []
    const charged = rows.find(({ id, type }) => id === transactionId && type === "usage")
    if (transactionId !== null) {
      if (charged === undefined) return { ask, expected: { refused: noTransaction(transactionId) } }
      const refunded = rows
        .filter(({ type, related }) => type === "refund" && related === transactionId)
        .reduce((total, each) => total + each.amount, 0)
      if (refunded + request.amount > -charged.amount) {
        return { ask, expected: { refused: beyondCharge(-charged.amount, refunded) } }
      }
    }
    const given = post(world, userId, {
      type: "refund",
      amount: request.amount,
      counterAccount: charged?.counterAccount ?? (request.appId === null ? "adjustments" : `revenue:${request.appId}`),
      appId: request.appId ?? charged?.appId ?? null,
      description: request.description,
      key: idempotencyKey,
      related: transactionId,
      caller: by
    })
    const answer = { transaction: shown(userId, given), newBalance: { balance: balance(world, userId).balance } }
    const kept = remember(world, userId, by, idempotencyKey, identity, answer)
    return {
      ask,
      expected: {
        answer,
        bind: (real) => {
          given.id = real.transaction.id
          kept.answer = real
        }
      }
    }
  }
)

const granting = (whom: fc.Arbitrary<string>, amounts: fc.Arbitrary<number>) =>
  command(
    "grant",
    fc.record({
      userId: whom,
      amount: amounts,
      reason: fc.constantFrom("welcome", "top up"),
      referenceId: fc.integer({ min: 1, max: 8 }).map((number) => `r${number}`),
      caller
    }),
    (world, { caller: by, ...request }) => {
      const { userId, reason, referenceId } = request
      const now = world.now
      const ask: ReturnType<Command["move"]>["ask"] = (db) => db.call("credits.grant", { ...request, caller: by, now })
      if (!isAmount(request.amount)) return { ask, expected: { refused: invalid("amount") } }
      const before = world.accounts.get(userId)?.grants.get(referenceId)
      if (before !== undefined) {
        const newBalance = balance(world, userId).balance
        return { ask, expected: { answer: { alreadyGranted: true, newBalance, transactionId: before.id } } }
      }
      const row = post(world, userId, {
        type: "grant",
        amount: request.amount,
        counterAccount: "promotions",
        description: reason,
        metadata: { reason, referenceId },
        caller: by
      })
      open(world, userId).grants.set(referenceId, row)
      const newBalance = balance(world, userId).balance
      return {
        ask,
        expected: {
          answer: { alreadyGranted: false, newBalance, transactionId: row.id },
          bind: ({ transactionId }) => {
            row.id = transactionId
          }
        }
      }
    }
  )

const grant = granting(
  user,
  fc.oneof({ weight: 9, arbitrary: fc.integer({ min: 1, max: 200 }) }, { weight: 1, arbitrary: amount })
)

/** Something to begin with. */
export const funding = (userId: string) => granting(fc.constant(userId), fc.integer({ min: 100, max: 300 }))

const reserve = command(
  "reserve",
  fc
    .record({
      userId: user,
      reason: fc.constantFrom("a call", "another call"),
      expiresInSeconds: fc.oneof(
        { weight: 9, arbitrary: fc.integer({ min: 1, max: 7200 }) },
        { weight: 1, arbitrary: fc.constantFrom(0, 2_592_000, 2_592_001) }
      ),
      appId: fc.option(app),
      idempotencyKey: key,
      caller
    })
    .chain((fixed) => charge.map((charged) => ({ ...fixed, ...charged }))),
  (world, { caller: by, ...request }) => {
    const { userId, reason, appId, expiresInSeconds, idempotencyKey } = request
    const now = world.now
    const ask: ReturnType<Command["move"]>["ask"] = (db) => db.call("credits.reserve", { ...request, caller: by, now })
    const expected = (): Expected => {
      if (expiresInSeconds < 1 || expiresInSeconds > 2_592_000) return { refused: invalid("expiresInSeconds") }
      const identity = JSON.stringify(["reserve", request])
      const memory = remembered(world, userId, by, idempotencyKey)
      if (memory !== undefined) {
        return memory.request === identity
          ? { answer: { ...memory.answer, replayed: true } }
          : { refused: keyReused(idempotencyKey ?? "") }
      }
      const charged = toCharge(request)
      if (typeof charged === "string") return { refused: invalid(charged) }
      const spendable = balance(world, userId).balance
      if (spendable < charged) return { refused: notEnough(charged, spendable) }
      const hold: Hold = {
        id: "",
        userId,
        amount: charged,
        reason,
        appId,
        createdAt: now,
        expiresAt: new Date(now.getTime() + expiresInSeconds * 1000),
        status: "open"
      }
      world.holds.push(hold)
      const answer = {
        reservationId: expect.any(String),
        balance: spendable - charged,
        expiresAt: hold.expiresAt.toISOString()
      }
      const kept = remember(world, userId, by, idempotencyKey, identity, answer)
      return {
        answer,
        bind: (real) => {
          hold.id = real.reservationId
          kept.answer = real
        }
      }
    }
    return { ask, expected: expected() }
  }
)

const close = (hold: Hold, now: Date, status: Hold["status"]) => {
  hold.status = status
  hold.closedAt = now
}

/** Open, but past its expiry: nobody can commit it any more. */
const statusAt = (hold: Hold, now: Date) => (hold.status === "open" && hold.expiresAt <= now ? "expired" : hold.status)

const commit = command(
  "commit",
  fc.record({
    index: fc.nat({ max: 30 }),
    amount: fc.option(
      fc.oneof({ weight: 5, arbitrary: fc.integer({ min: 1, max: 12 }) }, { weight: 1, arbitrary: amount })
    ),
    caller
  }),
  (world, { index, amount: asked, caller: by }) => {
    const hold = pick(world.holds, index)
    const now = world.now
    const reservationId = hold?.id ?? nobodysId
    const expected = (): Expected => {
      if (asked !== null && !isAmount(asked)) return { refused: invalid("amount") }
      if (hold === undefined) return { refused: noReservation(nobodysId) }
      const charged = asked ?? hold.amount
      if (charged > hold.amount) return { refused: invalid("amount") }
      if (hold.status === "committed" && hold.committed === charged)
        return { answer: { ...hold.answer, replayed: true } }
      const status = statusAt(hold, now)
      if (status !== "open") return { refused: reservationClosed(hold.id, status) }
      close(hold, now, "committed")
      hold.committed = charged
      const row = post(world, hold.userId, {
        type: "usage",
        amount: -charged,
        counterAccount: `revenue:${hold.appId ?? "unknown"}`,
        appId: hold.appId ?? "unknown",
        description: hold.reason,
        metadata: { reservationId: hold.id },
        caller: by
      })
      return {
        answer: { transactionId: row.id, balance: balance(world, hold.userId).balance },
        bind: (real) => {
          row.id = real.transactionId
          hold.answer = real
        }
      }
    }
    return {
      ask: (db) => db.call("credits.commit", { reservationId, amount: asked, caller: by, now }),
      expected: expected()
    }
  }
)

const release = command("release", fc.record({ index: fc.nat({ max: 30 }) }), (world, { index }) => {
  const hold = pick(world.holds, index)
  const now = world.now
  const reservationId = hold?.id ?? nobodysId
  const expected = (): Expected => {
    if (hold === undefined) return { refused: noReservation(nobodysId) }
    if (hold.status === "released") return { answer: { ...hold.answer, replayed: true } }
    if (hold.status !== "open") return { refused: reservationClosed(hold.id, hold.status) }
    close(hold, now, "released")
    hold.answer = { balance: balance(world, hold.userId).balance }
    return { answer: hold.answer }
  }
  return { ask: (db) => db.call("credits.release", { reservationId, now }), expected: expected() }
})

const expire = command("expire", fc.record({}), (world) => {
  const now = world.now
  const due = world.holds.filter((hold) => hold.status === "open" && hold.expiresAt <= now)
  for (const hold of due) close(hold, now, "expired")
  return { ask: (db) => db.call("credits.expire_reservations", { now }), expected: { answer: { expired: due.length } } }
})

const init = command("init", fc.record({ userId: user }), (world, { userId }) => {
  open(world, userId)
  return { ask: (db) => db.call("credits.init", { userId }), expected: { answer: balance(world, userId) } }
})

const balanceAt = command(
  "balanceAt",
  fc.record({ userId: user, secondsAgo: fc.nat({ max: 100_000 }) }),
  (world, { userId, secondsAgo }) => {
    const at = new Date(world.now.getTime() - secondsAgo * 1000)
    return {
      ask: (db) => db.call("credits.balance", { userId, at }),
      expected: { answer: balance(world, userId, at) }
    }
  }
)

const history = command(
  "history",
  fc.record({
    userId: user,
    limit: fc.integer({ min: 1, max: 10 }),
    offset: fc.constantFrom(0, 0, 0, 1, 5),
    type: fc.option(fc.constantFrom("usage", "grant", "refund", "purchase"), { freq: 2 }),
    appId: fc.option(app, { freq: 2 }),
    before: fc.option(fc.nat({ max: 30 }))
  }),
  (world, { before, ...request }) => {
    const { userId, limit, offset, type, appId } = request
    const rows = world.accounts.get(userId)?.rows ?? []
    const from = before === null ? undefined : pick(rows, before)
    const found = rows
      .filter((row) => from === undefined || row.seq < from.seq)
      .filter((row) => type === null || row.type === type)
      .filter((row) => appId === null || row.appId === appId)
      .toReversed()
      .slice(offset)
    const page = found.slice(0, limit)
    return {
      ask: (db) => db.call("credits.history", { ...request, before: from?.id ?? null }),
      expected: {
        answer: {
          transactions: page.map((row) => shown(userId, row)),
          next: found.length > limit ? page.at(-1)?.id : null
        }
      }
    }
  }
)

const usage = command(
  "usage",
  fc.record({ userId: user, groupBy: fc.constantFrom("day", "app", null) }),
  (world, { userId, groupBy }) => {
    const groups = new Map<string, { day?: string; appId?: string; creditsUsed: number; count: number }>()
    for (const row of world.accounts.get(userId)?.rows ?? []) {
      if (row.type !== "usage") continue
      const group = {
        ...(groupBy === "app" ? {} : { day: row.at.toISOString().slice(0, 10) }),
        ...(groupBy === "day" ? {} : { appId: row.appId ?? "" })
      }
      const id = JSON.stringify(group)
      const { creditsUsed, count } = groups.get(id) ?? { creditsUsed: 0, count: 0 }
      groups.set(id, { ...group, creditsUsed: creditsUsed - row.amount, count: count + 1 })
    }
    const order = (a: { day?: string; appId?: string }, b: { day?: string; appId?: string }) =>
      (b.day ?? "").localeCompare(a.day ?? "") || (a.appId ?? "").localeCompare(b.appId ?? "")
    return {
      ask: (db) => db.call("credits.usage", { userId, groupBy }),
      expected: { answer: [...groups.values()].toSorted(order) }
    }
  }
)

/** By hand: a grant, or an adjustment up or down. */
const byHand = command(
  "byHand",
  fc.record({
    userId: user,
    amount: fc.oneof(fc.integer({ min: -60, max: 60 }), amount),
    call: fc.constantFrom("ops.grant", "ops.adjust")
  }),
  (world, { userId, amount: given, call }) => {
    const now = world.now
    const expected = (): Expected => {
      const isTaking = call === "ops.adjust" && given < 0
      if (!isAmount(isTaking ? -given : given)) return { refused: invalid("amount") }
      const spendable = balance(world, userId).balance
      if (isTaking && spendable < -given) return { refused: notEnough(-given, spendable) }
      const row = post(world, userId, {
        type: call === "ops.grant" ? "grant" : "adjustment",
        amount: given,
        counterAccount: call === "ops.grant" ? "promotions" : "adjustments",
        description: "why",
        metadata: { who: "Ada", why: "why" },
        caller: "login_ops"
      })
      return {
        answer: expect.objectContaining({ seq: row.seq, amount: given, balance_after: row.after, caller: "login_ops" }),
        bind: ({ id }: Answer) => {
          row.id = id
        }
      }
    }
    return {
      ask: async (db) => {
        const [row] = await db.rows(call, { userId, amount: given, who: "Ada", why: "why", now }, "mana_ops")
        return row
      },
      expected: expected()
    }
  }
)

/** Seconds, hours, sometimes days. */
const timePasses = command(
  "timePasses",
  fc.record({ seconds: fc.oneof(fc.integer({ min: 1, max: 90 }), fc.integer({ min: 1, max: 100_000 })) }),
  (world, { seconds }) => {
    world.now = new Date(world.now.getTime() + seconds * 1000)
    return { ask: () => Promise.resolve("later"), expected: { answer: "later" } }
  }
)

/** How often each comes. */
export const creditsCommands: ReadonlyArray<{ readonly weight: number; readonly arbitrary: fc.Arbitrary<Command> }> = [
  { weight: 6, arbitrary: grant },
  { weight: 8, arbitrary: useOne },
  { weight: 3, arbitrary: useMany },
  { weight: 5, arbitrary: refund },
  { weight: 6, arbitrary: reserve },
  { weight: 5, arbitrary: commit },
  { weight: 3, arbitrary: release },
  { weight: 2, arbitrary: expire },
  { weight: 1, arbitrary: init },
  { weight: 2, arbitrary: balanceAt },
  { weight: 2, arbitrary: history },
  { weight: 1, arbitrary: usage },
  { weight: 2, arbitrary: byHand },
  { weight: 4, arbitrary: timePasses }
]
