/** Every kind of error that this service answers with. `sql/errors.md` says which SQLSTATE becomes which. */
import { Schema } from "effect"
import { credits, uuid, wireTime } from "./fields.ts"
import { problem } from "./problem.ts"

/** A Retry-After header says the same. */
const retryAfterSeconds = Schema.Number.annotations({ jsonSchema: { type: "integer" } })

export const InvalidRequest = problem(400, "invalid_request", "The request is malformed", {
  issues: Schema.Array(
    Schema.Struct({
      path: Schema.String.annotations({ description: "The field, parameter or header; empty for the whole body" }),
      message: Schema.String
    })
  )
})

export const Unauthorized = problem(401, "unauthorized", "No valid credential", {})
export const Forbidden = problem(403, "forbidden", "Not allowed", {})

export const InsufficientCredits = problem(402, "insufficient_credits", "Not enough credits", {
  required: credits(),
  available: credits()
})

export const NotFound = problem(404, "not_found", "No such address", {})
export const MethodNotAllowed = problem(405, "method_not_allowed", "The address doesn't know this method", {})
export const TransactionNotFound = problem(404, "transaction_not_found", "No such transaction", {
  transactionId: uuid
})
export const ReservationNotFound = problem(404, "reservation_not_found", "No such reservation", {
  reservationId: uuid
})

export const IdempotencyKeyReused = problem(409, "idempotency_key_reused", "The key was used for another request", {
  idempotencyKey: Schema.String
})
export const RefundExceedsCharge = problem(409, "refund_exceeds_charge", "More than the charge has left", {
  charged: credits(),
  refunded: credits(),
  refundable: credits()
})
export const ReservationClosed = problem(409, "reservation_closed", "The reservation isn't open any more", {
  reservationId: uuid,
  reservationStatus: Schema.Literal("committed", "released", "expired")
})

export const GiftNotFound = problem(404, "gift_not_found", "No such gift", {
  giftId: Schema.optional(uuid)
})
export const GiftNotActive = problem(409, "gift_not_active", "The gift is redeemed or cancelled", {
  giftStatus: Schema.Literal("redeemed", "cancelled")
})
export const GiftExpired = problem(409, "gift_expired", "The gift is expired", { expiresAt: wireTime })
export const GiftWrongRecipient = problem(409, "gift_wrong_recipient", "The gift is for somebody else", {})

export const SyncAlreadyActive = problem(409, "sync_already_active", "Sync is active already", {
  nextChargeAt: Schema.NullOr(wireTime)
})
export const SyncNotActive = problem(409, "sync_not_active", "Sync isn't active", {})
export const SyncGifted = problem(409, "sync_gifted", "Sync is a gift, and not its owner's to change", {
  giftedAt: wireTime
})
export const SyncGiftNotFound = problem(404, "sync_gift_not_found", "No gift of sync to revoke", {
  userId: Schema.String
})
/** No route answers with these: keys are made and ended from the command line and psql. */
export const ServiceKeyNotFound = problem(404, "service_key_not_found", "No such service key", {})
export const ServiceKeyEnded = problem(409, "service_key_ended", "The service key is revoked, expired or rotated", {
  prefix: Schema.String,
  keyStatus: Schema.Literal("revoked", "expired", "rotated")
})
/** No route answers with it: events are replayed from psql. */
export const EventNotFound = problem(404, "event_not_found", "No such event", {
  userId: Schema.String,
  eventId: Schema.Number
})
export const PackageNotFound = problem(404, "package_not_found", "No such package", { packageId: Schema.String })
export const PackageInactive = problem(409, "package_inactive", "The package is no longer sold", {
  packageId: Schema.String
})
export const PurchaseNotFound = problem(404, "purchase_not_found", "No such purchase", { purchaseId: uuid })
export const PurchaseClosed = problem(409, "purchase_closed", "The purchase was given up", { purchaseId: uuid })
export const PaymentsNotConfigured = problem(503, "payments_not_configured", "No payments here", {})

export const PayloadTooLarge = problem(413, "payload_too_large", "The body is too large", {
  limitBytes: Schema.Number
})
export const TooManyRequests = problem(429, "too_many_requests", "Too many requests", { retryAfterSeconds })
export const DailyCapReached = problem(429, "daily_cap_reached", "More than the service key may spend a day", {
  cap: credits("Credits that may be debited or held through the key in a UTC day"),
  spent: credits("Credits of today's that are used up"),
  retryAfterSeconds: retryAfterSeconds.annotations({ description: "Until midnight UTC" })
})
export const InternalError = problem(500, "internal_error", "Our mistake", { requestId: Schema.String })
export const ServiceUnavailable = problem(503, "unavailable", "Not available just now", { retryAfterSeconds })
