/** What clients do to each other's accounts, chosen at random: whatever moves credits, in every direction. */
import {
  chargeRefunded,
  checkoutSession,
  dispute,
  paymentIntent,
  type Purchase,
  refund,
  type StripeEvent
} from "../../support/stripe.ts"
import type { Arguments } from "../sql.ts"
import type { Random } from "../random.ts"

/** The fields of answers that are looked at; each is there where the function says so. */
export interface Answer {
  readonly id: string
  readonly code: string
  readonly found: boolean
  readonly reservationId: string
  readonly transactionId: string
  readonly transaction: { readonly id: string; readonly amount: number }
  readonly purchaseId: string
  readonly credits: number
  readonly priceEuroCents: number
  readonly results: ReadonlyArray<{ readonly ok: boolean; readonly transaction: { readonly id: string } }>
}

/** An event of the outbox that somebody delivers. */
interface Claimed {
  readonly id: number
  readonly userId: string
}

/** What the clients share: accounts, what is open on them, and a clock that runs ahead of the world's. */
export interface Market {
  readonly userIds: ReadonlyArray<string>
  /** Keys with a daily cap, which all accounts share. */
  readonly serviceKeyIds: ReadonlyArray<string>
  readonly reservations: Array<string>
  readonly gifts: Array<{ readonly id: string; readonly code: string; readonly creatorId: string }>
  readonly charges: Array<{ readonly id: string; readonly userId: string }>
  readonly purchases: Array<Purchase>
  readonly events: Array<StripeEvent>
  readonly deliveries: Array<Claimed>
  readonly now: () => Date
}

export const newMarket = (
  userIds: ReadonlyArray<string>,
  serviceKeyIds: ReadonlyArray<string>,
  now: () => Date
): Market => ({
  ...{
    userIds,
    serviceKeyIds,
    now,
    reservations: [],
    gifts: [],
    charges: [],
    purchases: [],
    events: [],
    deliveries: []
  }
})

export interface Act {
  readonly name: string
  readonly args: Arguments
  /** Signed by a person: the service may not call it. */
  readonly byHand?: boolean
  /** What its answer adds to the market. */
  readonly keep?: (answer: Answer) => void
}

const openAtMost = 100

/** The lists stay short, so that many reach for the same thing. */
const add = <A>(list: Array<A>, ...items: ReadonlyArray<A>) => {
  list.push(...items)
  if (list.length > openAtMost) list.splice(0, list.length - openAtMost)
}

export const app = "crossing"
const caller = `service:${app}`
const debit = { appId: app, description: "crossing" }
const emailOf = (userId: string) => `${userId}@example.org`

/** Every kind of act with its weight: how often it is chosen beside the others. */
export const actsOf = (market: Market, { below, next, pick, shuffled }: Random) => {
  const user = () => pick(market.userIds)
  const chance = (share: number) => next() < share
  const key = () => (chance(0.3) ? `k${below(500)}` : undefined)
  const capped = () => (chance(0.4) ? pick(market.serviceKeyIds) : undefined)
  const from = <A>(list: ReadonlyArray<A>) => (list.length === 0 ? undefined : pick(list))

  const use = (): Act => {
    const request = { userId: user(), amount: 1 + below(5), ...debit }
    return {
      name: "credits.use",
      args: { ...request, caller, idempotencyKey: key(), serviceKeyId: capped(), now: market.now() },
      keep: ({ transaction }) => add(market.charges, { id: transaction.id, userId: request.userId })
    }
  }
  const useMany = (): Act => {
    // Somebody's users in one order, somebody else's in another, some of them twice.
    const items = shuffled([...market.userIds, ...market.userIds.filter(() => chance(0.3))])
      .slice(0, 1 + below(6))
      .map((userId) => ({ userId, amount: 1 + below(5), ...debit, idempotencyKey: key(), serviceKeyId: capped() }))
    const isOfStrangers = chance(0.5)
    return {
      name: "credits.use_many",
      args: {
        items: isOfStrangers ? items.map((item) => ({ ...item, caller })) : items,
        caller: isOfStrangers ? null : caller,
        isCapped: chance(0.7),
        now: market.now()
      }
    }
  }
  const reserve = (): Act => ({
    name: "credits.reserve",
    args: {
      ...{ userId: user(), amount: 1 + below(20), reason: "crossing", appId: app, idempotencyKey: key() },
      ...{ expiresInSeconds: 60 + below(86_400), caller, serviceKeyId: capped(), now: market.now() }
    },
    keep: ({ reservationId }) => add(market.reservations, reservationId)
  })
  const close = (): Act | undefined => {
    const reservationId = from(market.reservations)
    if (reservationId === undefined) return undefined
    const args = { reservationId, now: market.now() }
    if (chance(0.5)) return { name: "credits.release", args }
    return { name: "credits.commit", args: { ...args, amount: chance(0.5) ? 1 : undefined } }
  }
  const refundCharge = (): Act => {
    const charge = chance(0.7) ? from(market.charges) : undefined
    const args = { userId: charge?.userId ?? user(), transactionId: charge?.id, amount: 1 + below(3) }
    return {
      name: "credits.refund",
      args: { ...args, appId: app, description: "crossing", idempotencyKey: key(), now: market.now() }
    }
  }
  const grant = (): Act => ({
    name: "credits.grant",
    args: {
      ...{ userId: user(), amount: 1 + below(60), reason: "crossing", referenceId: `r${below(1_000_000)}` },
      now: market.now()
    }
  })
  const byHand = (): Act => ({
    name: "ops.adjust",
    args: { userId: user(), amount: below(40) - 20 || 1, who: "Ada", why: "crossing", now: market.now() },
    byHand: true
  })

  const give = (): Act => {
    const creatorId = user()
    const target = { totalCredits: 1 + below(20), targetEmail: chance(0.4) ? emailOf(user()) : undefined }
    return {
      name: "gifts.create",
      args: { userId: creatorId, ...target, expirationDays: 1 + below(5), idempotencyKey: key(), now: market.now() },
      keep: ({ id, code }) => add(market.gifts, { id, code, creatorId })
    }
  }
  const redeem = (): Act | undefined => {
    const gift = from(market.gifts)
    if (gift === undefined) return undefined
    const userId = user()
    return {
      name: "gifts.redeem",
      args: {
        ...{ userId, code: chance(0.02) ? "0000-0000-0000" : gift.code, email: emailOf(userId) },
        ...{ idempotencyKey: key(), now: market.now() }
      }
    }
  }
  const redeemPending = (): Act => {
    const userId = user()
    return { name: "gifts.redeem_pending", args: { userId, email: emailOf(userId), limit: 10, now: market.now() } }
  }
  const cancel = (): Act | undefined => {
    const gift = from(market.gifts)
    return gift && { name: "gifts.cancel", args: { userId: gift.creatorId, giftId: gift.id, now: market.now() } }
  }

  const sync = (): Act =>
    pick<() => Act>([
      () => ({
        name: "sync.activate",
        args: {
          ...{ userId: user(), interval: pick(["monthly", "quarterly", "yearly"]), autoResume: chance(0.5) },
          now: market.now()
        }
      }),
      () => ({ name: "sync.deactivate", args: { userId: user(), now: market.now() } }),
      () => ({ name: "sync.change_interval", args: { userId: user(), interval: "monthly", now: market.now() } }),
      () => ({ name: "sync.gift", args: { userId: user(), by: "Ada", now: market.now() } }),
      () => ({ name: "sync.revoke_gift", args: { userId: user(), by: "Ada", now: market.now() } }),
      () => ({
        name: pick(["ops.pause_sync", "ops.resume_sync"]),
        args: { userId: user(), who: "Ada", why: "crossing", now: market.now() },
        byHand: true
      })
    ])()

  const sweep = (): Act => {
    const now = market.now()
    return pick<Act>([
      { name: "sync.charge_due", args: { limit: 100, now } },
      { name: "credits.expire_reservations", args: { limit: 100, now } },
      { name: "gifts.expire", args: { limit: 100, now } },
      { name: "stripe.retry_events", args: { limit: 100, now } },
      { name: "stripe.due_purchases", args: { livemode: false, limit: 50, now } },
      { name: "stripe.due_refunds", args: { livemode: false, limit: 50, now } }
    ])
  }

  const beginPurchase = (): Act => {
    const userId = user()
    return {
      name: "stripe.begin_purchase",
      args: { userId, packageId: "credits_100", livemode: false, idempotencyKey: key(), now: market.now() },
      keep: ({ purchaseId, credits, priceEuroCents }) => {
        const tail = purchaseId.replaceAll("-", "")
        add(market.purchases, {
          ...{ userId, purchaseId, credits, priceEuroCents, paymentIntentId: `pi_${tail}` },
          ...{ checkoutSessionId: `cs_${tail}`, chargeId: `ch_${tail}` }
        })
      }
    }
  }
  /** Money comes, goes and comes back, in any order and more than once, often before we know whose it is. */
  const stripeEvent = (): Act | undefined => {
    const purchase = from(market.purchases)
    if (purchase === undefined) return undefined
    const again = chance(0.2) ? from(market.events) : undefined
    const refunded = 1 + below(purchase.priceEuroCents)
    const at = { at: below(100_000) }
    const unnamed = { ...at, fields: { metadata: {} } }
    const event =
      again ??
      pick<() => StripeEvent>([
        () => paymentIntent(purchase, pick(["succeeded", "succeeded", "processing", "canceled"]), at),
        () => checkoutSession(purchase, "completed", at),
        () => paymentIntent(purchase, "succeeded", unnamed),
        () => paymentIntent(purchase, "succeeded", { ...at, apiVersion: "2020-01-01" }),
        () => chargeRefunded(purchase, refunded, at),
        () =>
          refund(purchase, pick(["created", "failed"]), {
            ...{ refundId: `re_${purchase.purchaseId}_${below(2)}`, amount: refunded, ...at }
          }),
        () => dispute(purchase, "funds_withdrawn", { ...at, booked: [-purchase.priceEuroCents] }),
        () => {
          const status = pick(["won", "lost"])
          const back = status === "won" ? [purchase.priceEuroCents] : []
          return dispute(purchase, "closed", { ...at, status, booked: [-purchase.priceEuroCents, ...back] })
        }
      ])()
    if (chance(0.1) && again !== undefined) {
      return { name: "ops.retry_event", args: { eventId: event.id, now: market.now() }, byHand: true }
    }
    add(market.events, event)
    return { name: "stripe.apply_event", args: { event, now: market.now() } }
  }
  const attach = (): Act | undefined => {
    const purchase = from(market.purchases)
    if (purchase === undefined) return undefined
    const { purchaseId, paymentIntentId } = purchase
    return pick<() => Act>([
      () => ({ name: "stripe.attach_payment", args: { purchaseId, paymentIntentId, now: market.now() } }),
      () => ({ name: "stripe.give_up_purchase", args: { purchaseId, now: market.now() } }),
      () => ({
        name: "stripe.attach_customer",
        args: { userId: purchase.userId, livemode: false, customerId: `cus_${purchase.userId.replace("-", "")}` }
      }),
      () => ({
        name: "ops.refund_purchase",
        args: { purchaseId, who: "Ada", why: "crossing", amountEuroCents: 1 + below(50), now: market.now() },
        byHand: true
      })
    ])()
  }

  const deliver = (): Act => {
    // Often twice, as after a lease that ran out.
    const claimed = chance(0.6) ? from(market.deliveries) : undefined
    if (claimed === undefined) {
      return {
        name: "events.claim",
        args: { limit: 10, leaseSeconds: 3600, now: market.now() },
        keep: (answer) => {
          if (Array.isArray(answer)) add(market.deliveries, ...answer)
        }
      }
    }
    const { id, userId } = claimed
    const now = market.now()
    return pick<Act>([
      { name: "events.delivered", args: { userId, id, now } },
      { name: "events.delivered", args: { userId, id, now } },
      { name: "events.failed", args: { userId, id, error: "crossing", now } },
      { name: "ops.replay_event", args: { userId, id, now }, byHand: true },
      { name: "ops.park_events", args: { before: new Date(now.getTime() - 86_400_000), limit: 20, now }, byHand: true }
    ])
  }
  const read = (): Act =>
    pick<Act>([
      { name: "credits.balance", args: { userId: user() } },
      { name: "credits.history", args: { userId: user(), limit: 20 } },
      { name: "sync.status", args: { userId: user() } }
    ])

  const weighted: ReadonlyArray<readonly [number, () => Act | undefined]> = [
    [12, use],
    [10, useMany],
    [10, reserve],
    [10, close],
    [8, refundCharge],
    [4, grant],
    [4, byHand],
    [8, give],
    [12, redeem],
    [2, redeemPending],
    [4, cancel],
    [5, sync],
    [5, sweep],
    [3, beginPurchase],
    [8, stripeEvent],
    [4, attach],
    [8, deliver],
    [3, read]
  ]
  const sum = weighted.reduce((total, [weight]) => total + weight, 0)

  /** The next act; one for which nothing is open yet gives its turn to a debit. */
  return (): Act => {
    let left = below(sum)
    for (const [weight, make] of weighted) {
      left -= weight
      if (left < 0) return make() ?? use()
    }
    return use()
  }
}
