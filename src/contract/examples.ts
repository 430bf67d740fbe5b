/** An example of each route by its operation id, for the document. test/http/openapi.test.ts checks them against the routes. */

interface Example {
  /** The Idempotency-Key, where the route takes one. */
  readonly key?: string
  readonly request?: object
  readonly response: object
}

const at = "2026-11-20T11:22:53.183Z"
const id = "01a1f8b1-ef81-796c-bc8b-80ca470e7b2d"
const giftId = "01a1f8b3-5a04-7d5e-8f0c-2b9e6d7c1a33"
const transactionId = "01a1f8b2-0b5e-7c1f-9a60-3f1d2c4b5a69"

/** Of parameters, by name. */
export const parameterExamples: Readonly<Record<string, string | number>> = {
  "x-app-id": "chat",
  "stripe-signature": "t=1795173773,v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd",
  userId: "ada",
  id,
  code: "ABCD-EFGH-JKMN",
  limit: 50,
  offset: 0,
  before: transactionId,
  type: "usage",
  appId: "chat",
  from: "2026-11-01",
  to: "2026-12-01T00:00:00Z",
  groupBy: "app",
  at: "2026-11-20T12:00:00Z"
}

const balance = { balance: 955, held: 40, debt: 0, totalEarned: 1000, totalSpent: 5 }

const transaction = {
  id: transactionId,
  userId: "ada",
  type: "usage",
  status: "completed",
  amount: -5,
  balanceBefore: 1000,
  balanceAfter: 995,
  appId: "chat",
  description: "One answer by Claude",
  metadata: null,
  idempotencyKey: "answer-17",
  relatedTransactionId: null,
  createdAt: at,
  completedAt: at
}

const debit = { amount: 5, appId: "chat", description: "One answer by Claude" }
const debited = { transaction, newBalance: { balance: 995, totalSpent: 5 } }
const priced = { operation: "image_generation", quantity: 2, appId: "picture", description: "Two pictures" }

const problem = {
  type: "https://credits.mana.how/docs#insufficient_credits",
  title: "Not enough credits",
  status: 402,
  detail: "Not enough credits: 20 needed, 0 available. Top up and try again.",
  code: "insufficient_credits",
  message: "Not enough credits: 20 needed, 0 available. Top up and try again.",
  required: 20,
  available: 0
}

const purchase = {
  id,
  packageId: "credits_500",
  credits: 500,
  priceEuroCents: 500,
  status: "completed",
  createdAt: at,
  completedAt: at,
  refundedEuroCents: 0,
  disputedEuroCents: 0,
  dispute: null,
  creditsKept: 500
}

const gift = {
  id: giftId,
  code: "ABCD-EFGH-JKMN",
  url: "https://credits.mana.how/g/ABCD-EFGH-JKMN",
  type: "simple",
  status: "active",
  totalCredits: 25,
  redeemed: false,
  targetEmail: null,
  message: "Happy birthday",
  expiresAt: "2027-02-18T11:22:53.183Z",
  createdAt: at,
  closedAt: null
}

const charged = "2026-12-20T11:22:53.183Z"

const sync = {
  active: true,
  interval: "monthly",
  nextChargeAt: charged,
  pausedAt: null,
  paidUntil: charged,
  gifted: false,
  price: 30,
  autoResume: false
}

const syncDetails = {
  userId: "ada",
  ...sync,
  status: "active",
  giftedBy: null,
  giftedAt: null,
  giftRevokedBy: null,
  giftRevokedAt: null,
  pausedBy: null,
  pausedWhy: null,
  charges: [{ periodStart: at, periodEnd: charged, interval: "monthly", credits: 30, transactionId, chargedAt: at }]
}

const gifted = { giftedBy: "ben", giftedAt: at }

export const examples: Readonly<Record<string, Example>> = {
  "credits.balance": { response: balance },
  "credits.use": { key: "answer-17", request: debit, response: { success: true, ...debited } },
  "credits.transactions": { response: [transaction] },
  "credits.usage": { response: [{ day: "2026-11-20", appId: "chat", creditsUsed: 5, count: 1 }] },
  "credits.pricing": {
    response: [
      {
        operation: "chat_claude",
        name: "AI chat, Claude",
        description: "One answer by Claude",
        category: "ai",
        app: "chat",
        credits: 5,
        unit: "message"
      }
    ]
  },
  "purchases.packages": {
    response: [
      {
        id: "credits_500",
        name: "500 credits",
        description: "For now and then",
        credits: 500,
        priceEuroCents: 500,
        stripePriceId: null,
        active: true,
        sortOrder: 20,
        metadata: null
      }
    ]
  },
  "purchases.purchase": {
    key: "basket-8",
    request: { packageId: "credits_500" },
    response: { purchaseId: id, amount: 500, credits: 500, clientSecret: "pi_3Qx7_secret_9Kd2" }
  },
  "purchases.purchases": { response: [purchase] },
  "purchases.purchaseById": { response: purchase },
  "gifts.create": {
    key: "gift-3",
    request: { totalCredits: 25, message: "Happy birthday" },
    response: { ...gift, newBalance: 930 }
  },
  "gifts.created": { response: [gift] },
  "gifts.received": {
    response: [
      { id: giftId, code: gift.code, credits: 25, message: "Happy birthday", creatorName: "Ben", redeemedAt: at }
    ]
  },
  "gifts.lookUp": {
    response: {
      code: gift.code,
      type: "simple",
      status: "active",
      totalCredits: 25,
      redeemed: false,
      isPersonalized: false,
      message: "Happy birthday",
      creatorName: "Ben",
      expiresAt: gift.expiresAt
    }
  },
  "gifts.redeem": {
    key: "redeem-3",
    request: { sourceAppId: "chat" },
    response: {
      success: true,
      giftId,
      transactionId,
      creditsReceived: 25,
      newBalance: 980,
      message: "Happy birthday",
      creatorName: "Ben"
    }
  },
  "gifts.cancel": { response: { success: true, refundedCredits: 25, newBalance: 955 } },
  "sync.status": { response: sync },
  "sync.activate": {
    key: "sync-1",
    request: { interval: "monthly", autoResume: true },
    response: {
      success: true,
      active: true,
      interval: "monthly",
      nextChargeAt: charged,
      amountCharged: 30,
      autoResume: true
    }
  },
  "sync.deactivate": { response: { success: true, active: false, paidUntil: charged } },
  "sync.changeInterval": {
    request: { interval: "yearly" },
    response: { success: true, interval: "yearly", amountCharged: 360, effectiveAt: charged, autoResume: false }
  },
  "internalCredits.balance": { response: balance },
  "internalCredits.use": {
    key: "answer-17",
    request: { userId: "ada", ...debit },
    response: { success: true, ...debited }
  },
  "internalCredits.useBatch": {
    key: "batch-4",
    request: {
      items: [
        { userId: "ada", ...debit, idempotencyKey: "answer-17" },
        { userId: "ben", ...priced }
      ]
    },
    response: {
      results: [
        { ok: true, ...debited },
        { ok: false, error: problem }
      ]
    }
  },
  "internalCredits.refund": {
    key: "refund-17",
    request: { userId: "ada", amount: 5, description: "The answer was cut off", transactionId },
    response: {
      success: true,
      transaction: {
        ...transaction,
        id,
        type: "refund",
        amount: 5,
        balanceBefore: 995,
        balanceAfter: 1000,
        description: "The answer was cut off",
        idempotencyKey: "refund-17",
        relatedTransactionId: transactionId
      },
      newBalance: { balance: 1000 }
    }
  },
  "internalCredits.grant": {
    request: { userId: "ada", amount: 100, reason: "welcome", referenceId: "welcome-2026" },
    response: { ok: true, alreadyGranted: false, newBalance: 1095, transactionId }
  },
  "internalCredits.init": {
    request: { userId: "ada" },
    response: { balance: 0, held: 0, debt: 0, totalEarned: 0, totalSpent: 0 }
  },
  "internalCredits.reserve": {
    key: "job-17",
    request: { userId: "ada", amount: 40, reason: "Deep research", expiresInSeconds: 3600 },
    response: { reservationId: id, balance: 955, expiresAt: "2026-11-20T12:22:53.183Z" }
  },
  "internalCredits.commit": {
    request: { reservationId: id, amount: 25, description: "A report of 12 pages" },
    response: { success: true, transactionId, balance: 970 }
  },
  "internalCredits.refundReservation": {
    request: { reservationId: id },
    response: { success: true, balance: 995 }
  },
  "internalGifts.redeemPending": {
    request: { userId: "cem", email: "cem@example.org" },
    response: { redeemed: 1, totalCredits: 10, failed: 0, more: false }
  },
  "internalSync.status": { response: sync },
  "internalSync.chargeRecurring": { response: { charged: 2, paused: 1, errors: 0, total: 3 } },
  "admin.sync": { response: syncDetails },
  "admin.giveSync": {
    response: { success: true, ...syncDetails, ...gifted, nextChargeAt: null, gifted: true }
  },
  "admin.revokeSync": {
    response: { success: true, ...syncDetails, ...gifted, giftRevokedBy: "ben", giftRevokedAt: charged }
  },
  "webhooks.stripe": {
    request: {
      id: "evt_1Qx7",
      object: "event",
      type: "payment_intent.succeeded",
      created: 1795173773,
      data: { object: { id: "pi_3Qx7", object: "payment_intent", amount_received: 500, currency: "eur" } }
    },
    response: { received: true }
  },
  "health.health": { response: { status: "ok", uptimeSeconds: 86_400 } },
  "health.ready": { response: { status: "ready", database: "migrated", worker: "running" } }
}
