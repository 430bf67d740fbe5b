/** The refusals of sql/errors.md as tests expect them: by code and facts, never by message. */
import { expect } from "vitest"

export const invalid = (path: string) => ({
  sqlstate: "CR001",
  message: expect.any(String),
  detail: { issues: [{ path, message: expect.any(String) }] }
})

const refusal = (sqlstate: string, detail: object) => ({ sqlstate, message: expect.any(String), detail })

export const notEnough = (required: number, available: number) => refusal("CR002", { required, available })

export const keyReused = (idempotencyKey: string) => refusal("CR003", { idempotencyKey })

export const noTransaction = (transactionId: string) => refusal("CR004", { transactionId })

export const beyondCharge = (charged: number, refunded: number) =>
  refusal("CR005", { charged, refunded, refundable: charged - refunded })

export const noReservation = (reservationId: string) => refusal("CR006", { reservationId })

export const reservationClosed = (reservationId: string, reservationStatus: string) =>
  refusal("CR007", { reservationId, reservationStatus })

/** Texts that break the rule of 1 to `max` characters, for `test.each`. */
export const badTexts = (max: number) => [
  { what: "null", text: null },
  { what: "empty", text: "" },
  { what: `${max + 1} characters`, text: "x".repeat(max + 1) },
  { what: `${max + 1} characters of four bytes`, text: "𝄞".repeat(max + 1) }
]

/** Amounts that are whole numbers and still not 1 to 1,000,000,000. */
export const badAmounts = [{ amount: null }, { amount: 0 }, { amount: -1 }, { amount: 1_000_000_001 }]

/** A uuid that nothing has. */
export const nobodysId = "00000000-0000-7000-8000-000000000000"

/** A refusal by its code alone, where the facts are said elsewhere. */
export const refusedBy = (sqlstate: string) => refusal(sqlstate, expect.any(Object))
export const noPackage = (packageId: string) => refusal("CR301", { packageId })

export const packageInactive = (packageId: string) => refusal("CR302", { packageId })

export const noPurchase = (purchaseId: string) => refusal("CR303", { purchaseId })

export const purchaseClosed = (purchaseId: string) => refusal("CR304", { purchaseId })

export const noServiceKey = refusal("CR401", {})

export const serviceKeyEnded = (prefix: string, keyStatus: "revoked" | "expired" | "rotated") =>
  refusal("CR402", { prefix, keyStatus })

export const capReached = (cap: number, spent: number, retryAfterSeconds: unknown = expect.any(Number)) =>
  refusal("CR403", { cap, spent, retryAfterSeconds })
