/** The requests that clients make, each with its mark in the books: the name of what was asked for. */
import { app } from "./ask.ts"
import type { Request } from "./journal.ts"

/** How a request is found in the books, wherever a text of its own is kept. */
export const mark = (op: string) => `torture ${op}`

const service = "/api/v1/internal/credits"
const post = { method: "POST" } as const

export const use = (op: string, userId: string, amount: number, key?: string): Request => ({
  ...post,
  op,
  kind: "use",
  path: `${service}/use`,
  userId,
  byUser: false,
  body: { userId, amount, appId: app, description: mark(op) },
  ...(key === undefined ? {} : { key })
})

export const personalUse = (op: string, userId: string, amount: number): Request => ({
  ...post,
  op,
  kind: "personalUse",
  path: "/api/v1/credits/use",
  userId,
  byUser: true,
  key: op,
  body: { amount, appId: app, description: mark(op), metadata: { op } }
})

/** An item's own name: its place in the batch. */
export const itemOf = (op: string, index: number) => `${op}/${index}`

export const useBatch = (op: string, items: ReadonlyArray<readonly [userId: string, amount: number]>): Request => ({
  ...post,
  op,
  kind: "useBatch",
  path: `${service}/use-batch`,
  userId: "",
  byUser: false,
  key: op,
  body: {
    items: items.map(([userId, amount], index) => ({
      userId,
      amount,
      appId: app,
      description: mark(itemOf(op, index))
    }))
  }
})

export const reserve = (op: string, userId: string, amount: number): Request => ({
  ...post,
  op,
  kind: "reserve",
  path: `${service}/reserve`,
  userId,
  byUser: false,
  key: op,
  body: { userId, amount, reason: mark(op) }
})

export interface Held {
  readonly reservationId: string
  readonly userId: string
  readonly amount: number
}

// The reservation is the key of these two.
export const commit = (op: string, { reservationId, userId }: Held, amount: number): Request => ({
  ...post,
  op,
  kind: "commit",
  path: `${service}/commit`,
  userId,
  byUser: false,
  key: op,
  body: { reservationId, amount, description: mark(op) }
})

export const release = (op: string, { reservationId, userId }: Held): Request => ({
  ...post,
  op,
  kind: "release",
  path: `${service}/refund-reservation`,
  userId,
  byUser: false,
  key: op,
  body: { reservationId }
})

export const refund = (op: string, userId: string, amount: number, transactionId?: string): Request => ({
  ...post,
  op,
  kind: "refund",
  path: `${service}/refund`,
  userId,
  byUser: false,
  key: op,
  body: {
    userId,
    amount,
    appId: app,
    description: mark(op),
    ...(transactionId === undefined ? {} : { transactionId })
  }
})

export const grant = (op: string, userId: string, amount: number): Request => ({
  ...post,
  op,
  kind: "grant",
  path: `${service}/grant`,
  userId,
  byUser: false,
  key: op,
  body: { userId, amount, reason: "torture", referenceId: op, description: mark(op) }
})

export const giftCreate = (op: string, userId: string, totalCredits: number): Request => ({
  ...post,
  op,
  kind: "giftCreate",
  path: "/api/v1/gifts",
  userId,
  byUser: true,
  key: op,
  body: { totalCredits, message: mark(op) }
})

export interface Given {
  readonly giftId: string
  readonly code: string
  readonly creatorId: string
}

export const giftRedeem = (op: string, userId: string, { code, giftId }: Given): Request => ({
  ...post,
  op,
  kind: "giftRedeem",
  path: `/api/v1/gifts/${code}/redeem`,
  userId,
  byUser: true,
  key: op,
  // What isn't known is ignored: for the checker.
  body: { sourceAppId: app, giftId }
})

export const giftCancel = (op: string, { giftId, creatorId }: Given): Request => ({
  op,
  kind: "giftCancel",
  method: "DELETE",
  path: `/api/v1/gifts/${giftId}`,
  userId: creatorId,
  byUser: true
})

export const purchase = (op: string, userId: string, packageId: string): Request => ({
  ...post,
  op,
  kind: "purchase",
  path: "/api/v1/credits/purchase",
  userId,
  byUser: true,
  key: op,
  body: { packageId }
})

/** As the payer, at Stripe. */
export const pay = (op: string, userId: string, purchaseId: string, clientSecret: string): Request => ({
  ...post,
  op,
  kind: "pay",
  path: "/simulator/pay",
  userId,
  byUser: true,
  body: { id: clientSecret, purchaseId }
})

export const activate = (op: string, userId: string): Request => ({
  ...post,
  op,
  kind: "activate",
  path: "/api/v1/sync/activate",
  userId,
  byUser: true,
  key: op,
  body: { interval: "monthly" }
})

export const deactivate = (op: string, userId: string): Request => ({
  ...post,
  op,
  kind: "deactivate",
  path: "/api/v1/sync/deactivate",
  userId,
  byUser: true
})

export const changeInterval = (op: string, userId: string, interval: string): Request => ({
  ...post,
  op,
  kind: "changeInterval",
  path: "/api/v1/sync/change-interval",
  userId,
  byUser: true,
  body: { interval }
})

export const chargeRun = (op: string): Request => ({
  ...post,
  op,
  kind: "chargeRun",
  path: "/api/v1/internal/sync/charge-recurring",
  userId: "",
  byUser: false
})

export const balance = (op: string, userId: string): Request => ({
  op,
  kind: "balance",
  method: "GET",
  path: `${service}/balance/${userId}`,
  userId,
  byUser: false,
  key: op
})
