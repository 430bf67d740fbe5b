/** The gifts room as commands of the model. */
import * as fc from "fast-check"
import { expect } from "vitest"
import type { Arguments, TestDatabase } from "../support/database.ts"
import {
  daysAfter,
  giftExpired,
  giftNotActive,
  noGift,
  nobodysCode,
  tooManyMisses,
  wrongRecipient
} from "../support/gifts.ts"
import { invalid, keyReused, nobodysId, notEnough } from "../support/refusals.ts"
import { users } from "./credits.ts"
import { balance, type Gift, remember, remembered } from "./books.ts"
import { type Command, command, type Expected, pick, post, type World } from "./world.ts"

const user = fc.constantFrom(...users)
const key = fc.option(fc.constantFrom("k1", "k2", "k3"), { freq: 2 })
const caller = fc.constantFrom("user", "service:chat")
const email = fc.constantFrom("ada@example.org", " Ben@Example.org", "nobody@example.org")

const normal = (address: string) => address.trim().toLowerCase()

/** Past its expiry a gift is expired, swept or not. */
const statusAt = (gift: Gift, now: Date) =>
  gift.status === "active" && gift.expiresAt <= now ? "expired" : gift.status

/** A row of gifts.gift_codes. */
export const state = ({ id, status, totalCredits }: Gift) => ({ id, status, total_credits: totalCredits })

const shown = (gift: Gift, now: Date) => ({
  id: gift.id,
  code: gift.code,
  type: gift.type,
  status: statusAt(gift, now),
  totalCredits: gift.totalCredits,
  redeemed: gift.status === "redeemed",
  targetEmail: gift.targetEmail,
  message: gift.message,
  expiresAt: gift.expiresAt.toISOString(),
  createdAt: gift.createdAt.toISOString(),
  closedAt: gift.closedAt?.toISOString() ?? null
})

const ledger = (db: TestDatabase) =>
  db.query("select user_id, seq, id from credits.transactions where type = 'gift' order by id")

/**
 * A call, and the ledger's gift rows after it: few of these functions answer with the rows they wrote, and what comes
 * later may ask for them by id.
 */
const asking = (name: string, args: Arguments, world: World, expected: Expected): ReturnType<Command["move"]> => ({
  ask: async (db) => ({ answer: await db.call(name, args), ledger: await ledger(db) }),
  expected:
    "refused" in expected
      ? expected
      : {
          answer: { answer: expected.answer, ledger: expect.any(Array) },
          bind: (real) => {
            for (const { user_id, seq, id } of real.ledger) {
              const row = world.accounts.get(user_id)?.rows[seq - 1]
              if (row !== undefined) row.id = id
            }
            expected.bind?.(real.answer)
          }
        }
})

/** For whoever has the code, or for an address; rarely what can't be. */
const forWhom = fc.oneof(
  { weight: 5, arbitrary: fc.record({ type: fc.constantFrom(null, "simple"), targetEmail: fc.constant(null) }) },
  { weight: 5, arbitrary: fc.record({ type: fc.constantFrom(null, "personalized"), targetEmail: email }) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      { type: "simple", targetEmail: "ada@example.org" },
      { type: "personalized", targetEmail: null }
    )
  }
)

const create = command(
  "giveGift",
  fc.record({
    userId: user,
    forWhom,
    totalCredits: fc.oneof(
      { weight: 20, arbitrary: fc.integer({ min: 1, max: 40 }) },
      { weight: 1, arbitrary: fc.constantFrom(null, 0, 10_001) }
    ),
    message: fc.option(fc.constantFrom("For you", "For you too")),
    expirationDays: fc.oneof(
      { weight: 9, arbitrary: fc.constantFrom(1, 2, 90) },
      { weight: 1, arbitrary: fc.constant(367) }
    ),
    creatorName: fc.option(fc.constantFrom("Ann", "ann@example.org")),
    idempotencyKey: key,
    caller
  }),
  (world, { forWhom: { type: asked, targetEmail: address }, caller: by, ...request }) => {
    const { userId, totalCredits, message, expirationDays, idempotencyKey } = request
    const now = world.now
    const targetEmail = address === null ? null : normal(address)
    const type = asked ?? (targetEmail === null ? "simple" : "personalized")
    const expected = (): Expected => {
      if (totalCredits === null || totalCredits < 1 || totalCredits > 10_000)
        return { refused: invalid("totalCredits") }
      if ((type === "personalized") !== (targetEmail !== null)) return { refused: invalid("targetEmail") }
      if (expirationDays > 366) return { refused: invalid("expirationDays") }
      const identity = JSON.stringify(["giveGift", totalCredits, type, targetEmail, message, expirationDays])
      const memory = remembered(world, userId, by, idempotencyKey)
      if (memory !== undefined) {
        return memory.request === identity
          ? { answer: { ...memory.answer, replayed: true } }
          : { refused: keyReused(idempotencyKey ?? "") }
      }
      const spendable = balance(world, userId).balance
      if (spendable < totalCredits) return { refused: notEnough(totalCredits, spendable) }

      const metadata = { giftId: "" }
      const escrow = post(world, userId, {
        type: "gift",
        amount: -totalCredits,
        counterAccount: "gifts",
        description: "Gift",
        metadata,
        key: idempotencyKey,
        caller: by
      })
      const gift: Gift = {
        id: "",
        code: "",
        creatorId: userId,
        creatorName: request.creatorName === "Ann" ? "Ann" : null,
        type: type === "personalized" ? type : "simple",
        targetEmail,
        totalCredits,
        message,
        createdAt: now,
        expiresAt: daysAfter(now, expirationDays),
        escrow,
        status: "active"
      }
      world.gifts.push(gift)
      const answer = { ...shown(gift, now), id: expect.any(String), code: expect.any(String) }
      const withBalance = { ...answer, newBalance: spendable - totalCredits }
      const kept = remember(world, userId, by, idempotencyKey, identity, withBalance)
      return {
        answer: withBalance,
        bind: (real) => {
          gift.id = real.id
          gift.code = real.code
          metadata.giftId = real.id
          kept.answer = real
        }
      }
    }
    const args = { ...request, type: asked, targetEmail: address, caller: by, now }
    return asking("gifts.create", args, world, expected())
  }
)

/** Pays a gift to somebody; what SQL shares among redeem and redeem_pending. */
const payOut = (
  world: World,
  gift: Gift,
  userId: string,
  by: string,
  appId: string | null,
  idempotencyKey: string | null
) => {
  const row = post(world, userId, {
    type: "gift",
    amount: gift.totalCredits,
    counterAccount: "gifts",
    appId,
    description: "Gift received",
    metadata: { giftId: gift.id },
    key: idempotencyKey,
    related: gift.creatorId === userId ? gift.escrow.id : null,
    caller: by
  })
  gift.status = "redeemed"
  gift.closedAt = world.now
  world.redemptions.push({ gift, userId, at: world.now })
  return row
}

const giveBack = (world: World, gift: Gift, status: "expired" | "cancelled", by: string) => {
  post(world, gift.creatorId, {
    type: "gift",
    amount: gift.totalCredits,
    counterAccount: "gifts",
    description: `Gift ${status}, credits returned`,
    metadata: { giftId: gift.id },
    related: gift.escrow.id,
    caller: by
  })
  gift.status = status
  gift.closedAt = world.now
}

/** Why a gift can't be had or taken back, if so. */
const closed = (gift: Gift, now: Date): Expected | undefined => {
  const status = statusAt(gift, now)
  if (status === "expired") return { refused: giftExpired(gift.expiresAt.toISOString()) }
  return status === "active" ? undefined : { refused: giftNotActive(status) }
}

/** Misses of the last minute. */
const recentMisses = (world: World, guesser: string) =>
  (world.misses.get(guesser) ?? []).filter((miss) => miss.getTime() > world.now.getTime() - 60_000)

/** The refusal of somebody who has missed too often, or undefined. */
const throttled = (world: World, guesser: string, allowed: number): Expected | undefined => {
  const oldest = recentMisses(world, guesser).at(-allowed)
  if (oldest === undefined) return undefined
  return { refused: tooManyMisses(Math.ceil((oldest.getTime() + 60_000 - world.now.getTime()) / 1000)) }
}

const miss = (world: World, guesser: string): Expected => {
  world.misses.set(guesser, [...recentMisses(world, guesser), world.now])
  return { answer: { found: false } }
}

/** Which gift's code is typed, and how; sometimes one that doesn't exist. */
const typed = fc.record({
  index: fc.nat({ max: 20 }),
  isMiss: fc.constantFrom(false, false, false, true),
  isSloppy: fc.boolean()
})

const codeOf = (gift: Gift | undefined, isSloppy: boolean) => {
  const code = gift?.code ?? nobodysCode
  return isSloppy ? ` ${code.toLowerCase().replaceAll("-", "")}` : code
}

const lookUp = command(
  "lookUp",
  fc.record({ typed, client: fc.constantFrom("192.0.2.1", "192.0.2.2") }),
  (world, { typed: { index, isMiss, isSloppy }, client }) => {
    const gift = isMiss ? undefined : pick(world.gifts, index)
    const now = world.now
    const expected = (): Expected => {
      const tooMany = throttled(world, client, 30)
      if (tooMany !== undefined) return tooMany
      if (gift === undefined) return miss(world, client)
      const { id: _, targetEmail: __, createdAt: ___, closedAt: ____, ...open } = shown(gift, now)
      return {
        answer: {
          found: true,
          gift: { ...open, isPersonalized: gift.type === "personalized", creatorName: gift.creatorName }
        }
      }
    }
    return {
      ask: (db) => db.call("gifts.look_up", { code: codeOf(gift, isSloppy), client, now }),
      expected: expected()
    }
  }
)

const redeem = command(
  "redeem",
  fc.record({
    userId: user,
    typed,
    /** Null: the one that the gift is for. */
    email: fc.option(email, { freq: 1 }),
    emailVerified: fc.constantFrom(null, true, true, false),
    sourceAppId: fc.option(fc.constantFrom("chat", "picture")),
    idempotencyKey: key,
    caller
  }),
  (world, { typed: { index, isMiss, isSloppy }, email: ownEmail, caller: by, ...request }) => {
    const { userId, sourceAppId, emailVerified, idempotencyKey } = request
    const gift = isMiss ? undefined : pick(world.gifts, index)
    const address = ownEmail ?? gift?.targetEmail ?? null
    const now = world.now
    const expected = (): Expected => {
      const tooMany = throttled(world, userId, 10)
      if (tooMany !== undefined) return tooMany
      if (gift === undefined) return miss(world, userId)
      const identity = JSON.stringify(["redeem", gift.id, sourceAppId])
      const memory = remembered(world, userId, by, idempotencyKey)
      if (memory !== undefined) {
        return memory.request === identity
          ? { answer: { ...memory.answer, replayed: true } }
          : { refused: keyReused(idempotencyKey ?? "") }
      }
      const isNot = closed(gift, now)
      if (isNot !== undefined) return isNot
      const isTheirs = address !== null && normal(address) === gift.targetEmail && emailVerified !== false
      if (gift.targetEmail !== null && !isTheirs) return { refused: wrongRecipient }

      const row = payOut(world, gift, userId, by, sourceAppId, idempotencyKey)
      const answer = {
        found: true,
        giftId: gift.id,
        transactionId: row.id,
        creditsReceived: gift.totalCredits,
        newBalance: balance(world, userId).balance,
        message: gift.message,
        creatorName: gift.creatorName
      }
      const kept = remember(world, userId, by, idempotencyKey, identity, answer)
      return {
        answer,
        bind: (real) => {
          kept.answer = real
        }
      }
    }
    const args = { ...request, email: address, code: codeOf(gift, isSloppy), caller: by, now }
    return asking("gifts.redeem", args, world, expected())
  }
)

const redeemPending = command(
  "redeemPending",
  fc.record({ userId: user, email, limit: fc.constantFrom(100, 100, 1), caller }),
  (world, { caller: by, ...request }) => {
    const now = world.now
    const waiting = world.gifts.filter(
      (gift) => statusAt(gift, now) === "active" && gift.targetEmail === normal(request.email)
    )
    const redeemed = waiting.slice(0, request.limit)
    for (const gift of redeemed) payOut(world, gift, request.userId, by, null, null)
    return asking("gifts.redeem_pending", { ...request, caller: by, now }, world, {
      answer: {
        redeemed: redeemed.length,
        totalCredits: redeemed.reduce((sum, gift) => sum + gift.totalCredits, 0),
        failed: 0,
        more: waiting.length > redeemed.length
      }
    })
  }
)

const cancel = command(
  "cancelGift",
  fc.record({ index: fc.nat({ max: 20 }), somebody: fc.option(user, { freq: 1 }), caller }),
  (world, { index, somebody, caller: by }) => {
    const gift = pick(world.gifts, index)
    const giftId = gift?.id ?? nobodysId
    const userId = somebody ?? gift?.creatorId ?? "ada"
    const now = world.now
    const expected = (): Expected => {
      if (gift === undefined || gift.creatorId !== userId) return { refused: noGift(giftId) }
      const isNot = closed(gift, now)
      if (isNot !== undefined) return isNot
      giveBack(world, gift, "cancelled", by)
      const newBalance = balance(world, userId).balance
      return { answer: { giftId, refundedCredits: gift.totalCredits, newBalance } }
    }
    return asking("gifts.cancel", { userId, giftId, caller: by, now }, world, expected())
  }
)

const expire = command("expireGifts", fc.record({ caller }), (world, { caller: by }) => {
  const now = world.now
  const due = world.gifts.filter((gift) => gift.status === "active" && gift.expiresAt <= now)
  for (const gift of due) giveBack(world, gift, "expired", by)
  return asking("gifts.expire", { caller: by, now }, world, {
    answer: { expired: due.length, totalCredits: due.reduce((sum, gift) => sum + gift.totalCredits, 0), failed: 0 }
  })
})

const limit = fc.integer({ min: 1, max: 6 })

const createdBy = command(
  "createdBy",
  fc.record({ userId: user, limit, before: fc.option(fc.nat({ max: 20 })) }),
  (world, { before, ...request }) => {
    const from = before === null ? undefined : pick(world.gifts, before)
    const found = world.gifts
      .slice(0, from === undefined ? undefined : world.gifts.indexOf(from))
      .filter((gift) => gift.creatorId === request.userId)
      .toReversed()
    const page = found.slice(0, request.limit)
    const now = world.now
    return {
      ask: (db) => db.call("gifts.created_by", { ...request, before: from?.id ?? null, now }),
      expected: {
        answer: {
          gifts: page.map((gift) => shown(gift, now)),
          next: found.length > page.length ? page.at(-1)?.id : null
        }
      }
    }
  }
)

const receivedBy = command(
  "receivedBy",
  fc.record({ userId: user, limit, before: fc.option(fc.nat({ max: 20 })) }),
  (world, { before, ...request }) => {
    const received = world.redemptions.filter(({ userId }) => userId === request.userId)
    const from = before === null ? undefined : pick(received, before)
    const found = received.slice(0, from === undefined ? undefined : received.indexOf(from)).toReversed()
    const page = found.slice(0, request.limit)
    return {
      ask: (db) => db.call("gifts.received_by", { ...request, before: from?.gift.id ?? null }),
      expected: {
        answer: {
          gifts: page.map(({ gift, at }) => ({
            id: gift.id,
            code: gift.code,
            credits: gift.totalCredits,
            message: gift.message,
            creatorName: gift.creatorName,
            redeemedAt: at.toISOString()
          })),
          next: found.length > page.length ? page.at(-1)?.gift.id : null
        }
      }
    }
  }
)

/** How often each comes. */
export const giftCommands: ReadonlyArray<{ readonly weight: number; readonly arbitrary: fc.Arbitrary<Command> }> = [
  { weight: 7, arbitrary: create },
  { weight: 2, arbitrary: lookUp },
  { weight: 6, arbitrary: redeem },
  { weight: 2, arbitrary: redeemPending },
  { weight: 3, arbitrary: cancel },
  { weight: 2, arbitrary: expire },
  { weight: 1, arbitrary: createdBy },
  { weight: 1, arbitrary: receivedBy }
]
