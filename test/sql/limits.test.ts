import { expect, test } from "vitest"
import { database, refusalOf } from "../support/database.ts"
import type { Role } from "../support/names.ts"
import { invalid, nobodysId } from "../support/refusals.ts"

/**
 * How long a text may be and how large a number, of every argument of every function that people and services call:
 * one more, one less, and nothing at all where something is required.
 */
const db = await database()

/** At least 1 character, at most so many; `or nothing` where null is an answer as well. */
const text = (max: number) => ({ bad: ["", "x".repeat(max + 1), null] })
const textOrNothing = (max: number) => ({ bad: ["", "x".repeat(max + 1)] })
const between = (least: number, most: number) => ({ bad: [least - 1, most + 1, null] })
const betweenOrNothing = (least: number, most: number) => ({ bad: [least - 1, most + 1] })

interface Limits {
  readonly args: Readonly<Record<string, unknown>>
  readonly limits: Readonly<Record<string, { readonly bad: ReadonlyArray<unknown> }>>
  readonly role?: Role
}

const userId = text(128)
const idempotencyKey = textOrNothing(255)
const who = text(128)
const why = text(500)
const billion = 1_000_000_000
const interval = { userId: "u", interval: "monthly" }

const functions: Readonly<Record<string, Limits>> = {
  "credits.balance": { args: {}, limits: { userId } },
  "credits.commit": {
    args: { reservationId: nobodysId },
    limits: { amount: betweenOrNothing(1, billion), description: textOrNothing(500) }
  },
  "credits.expire_reservations": { args: {}, limits: { limit: between(1, 10_000) } },
  "credits.grant": {
    args: { userId: "u", amount: 1, reason: "r", referenceId: "r" },
    limits: {
      userId,
      amount: between(1, billion),
      reason: text(64),
      referenceId: text(128),
      description: textOrNothing(500)
    }
  },
  "credits.history": {
    args: { userId: "u" },
    limits: { userId, limit: between(1, 200), offset: between(0, 1_000_000) }
  },
  "credits.init": { args: {}, limits: { userId } },
  "credits.purchase": { args: { purchaseId: nobodysId }, limits: { userId } },
  "credits.purchases": { args: { userId: "u" }, limits: { userId, limit: between(1, 200) } },
  "credits.refund": {
    args: { userId: "u", amount: 1, description: "d" },
    limits: {
      userId,
      amount: between(1, billion),
      description: text(500),
      appId: textOrNothing(64),
      idempotencyKey
    }
  },
  "credits.reserve": {
    args: { userId: "u", amount: 1, reason: "r" },
    limits: {
      userId,
      amount: between(1, billion),
      reason: text(200),
      expiresInSeconds: between(1, 2_592_000),
      appId: textOrNothing(64),
      idempotencyKey
    }
  },
  "credits.usage": { args: {}, limits: { userId } },
  "credits.use": {
    args: { userId: "u", amount: 1, appId: "a", description: "d" },
    limits: { userId, amount: between(1, billion), appId: text(64), description: text(500), idempotencyKey }
  },
  "events.claim": { args: {}, limits: { limit: between(1, 1000), leaseSeconds: between(1, 3600) } },
  "gifts.create": {
    args: { userId: "u", totalCredits: 1 },
    limits: {
      userId,
      totalCredits: between(1, 10_000),
      message: { bad: ["x".repeat(501)] },
      expirationDays: between(1, 366),
      idempotencyKey
    }
  },
  "gifts.created_by": { args: { userId: "u" }, limits: { userId, limit: between(1, 200) } },
  "gifts.expire": { args: {}, limits: { limit: between(1, 10_000) } },
  "gifts.received_by": { args: { userId: "u" }, limits: { userId, limit: between(1, 200) } },
  "gifts.redeem": {
    args: { userId: "u", code: "0000-0000-0000" },
    limits: { userId, sourceAppId: textOrNothing(64), idempotencyKey }
  },
  "gifts.redeem_pending": {
    args: { userId: "u", email: "u@example.org" },
    limits: { userId, email: text(254), limit: between(1, 1000) }
  },
  "ops.add_package": {
    args: { id: "p", name: "n", description: "d", credits: 1, priceEuroCents: 50 },
    limits: {
      id: text(64),
      name: text(100),
      description: text(500),
      credits: between(1, billion),
      priceEuroCents: between(50, 99_999_999)
    },
    role: "mana_ops"
  },
  "ops.adjust": {
    args: { userId: "u", amount: 1, who: "w", why: "w" },
    limits: { userId, who, why },
    role: "mana_ops"
  },
  "ops.grant": { args: { userId: "u", amount: 1, who: "w", why: "w" }, limits: { userId, who, why }, role: "mana_ops" },
  "ops.revoke_service_key": { args: { key: "nobody's" }, limits: { who }, role: "mana_ops" },
  "ops.set_low_balance_threshold": {
    args: { credits: 1, who: "w", why: "w" },
    limits: { credits: betweenOrNothing(1, billion), who, why },
    role: "mana_ops"
  },
  "stripe.begin_purchase": {
    args: {
      userId: "u",
      packageId: "credits_500",
      livemode: false,
      successUrl: "https://a.test",
      cancelUrl: "https://a.test"
    },
    limits: {
      userId,
      packageId: text(64),
      successUrl: { bad: ["", "x".repeat(2001)] },
      cancelUrl: { bad: ["", "x".repeat(2001)] },
      idempotencyKey
    }
  },
  "stripe.due_purchases": { args: { livemode: false }, limits: { limit: between(1, 1000) } },
  "stripe.due_refunds": { args: { livemode: false }, limits: { limit: between(1, 1000) } },
  "stripe.forget_customer": {
    args: { userId: "u", livemode: false, customerId: "cus_1" },
    limits: { customerId: text(255) }
  },
  "stripe.retry_events": { args: {}, limits: { limit: between(1, 1000) } },
  "sync.activate": { args: interval, limits: { userId, idempotencyKey } },
  "sync.change_interval": { args: interval, limits: { userId } },
  "sync.charge_due": { args: {}, limits: { limit: between(1, 10_000) } },
  "sync.deactivate": { args: {}, limits: { userId } },
  "sync.details": { args: {}, limits: { userId } },
  "sync.gift": { args: { userId: "u", by: "b" }, limits: { userId, by: text(128) } },
  "sync.revoke_gift": { args: { userId: "u", by: "b" }, limits: { userId, by: text(128) } },
  "sync.status": { args: {}, limits: { userId } }
}

const cases = Object.entries(functions).flatMap(([name, { args, limits, role }]) =>
  Object.entries(limits).flatMap(([argument, { bad }]) => bad.map((value) => ({ name, args, role, argument, value })))
)

const shown = (value: unknown) => (typeof value === "string" ? `${value.length} characters` : String(value))

test.each(cases.map((each) => ({ ...each, what: shown(each.value) })))(
  "$name refuses $argument of $what (CR001)",
  async ({ name, args, role, argument, value }) => {
    const outcome = await db
      .call(name, { ...args, [argument]: value }, role)
      .then((answer): unknown => ({ answered: answer }), refusalOf)
    expect(outcome).toEqual(invalid(argument))
  }
)
