/** Every kind of problem that this service answers with. */
import { Schema } from "effect"
import { count, credits, uuid, wireTime } from "./fields.ts"
import { problem } from "./problem.ts"

/** A Retry-After header says the same. */
const retryAfterSeconds = count()

export class InvalidRequest extends problem<InvalidRequest>()(
  "invalid_request",
  400,
  "The request is malformed",
  {
    issues: Schema.Array(
      Schema.Struct({
        path: Schema.String.annotate({ description: "The field, parameter or header; empty for the whole body" }),
        message: Schema.String
      })
    )
  },
  ["CR001"]
) {}

export class Unauthorized extends problem<Unauthorized>()("unauthorized", 401, "No valid credential", {}) {}

export class Forbidden extends problem<Forbidden>()("forbidden", 403, "Not allowed", {}) {}

export class InsufficientCredits extends problem<InsufficientCredits>()(
  "insufficient_credits",
  402,
  "Not enough credits",
  { required: credits(), available: credits() },
  ["CR002"]
) {}

export class NotFound extends problem<NotFound>()("not_found", 404, "No such address", {}) {}

export class MethodNotAllowed extends problem<MethodNotAllowed>()(
  "method_not_allowed",
  405,
  "The address doesn't know this method",
  {}
) {}

export class TransactionNotFound extends problem<TransactionNotFound>()(
  "transaction_not_found",
  404,
  "No such transaction",
  { transactionId: uuid },
  ["CR004"]
) {}

export class ReservationNotFound extends problem<ReservationNotFound>()(
  "reservation_not_found",
  404,
  "No such reservation",
  { reservationId: uuid },
  ["CR006"]
) {}

export class IdempotencyKeyReused extends problem<IdempotencyKeyReused>()(
  "idempotency_key_reused",
  409,
  "The key was used for another request",
  { idempotencyKey: Schema.String },
  ["CR003"]
) {}

export class RefundExceedsCharge extends problem<RefundExceedsCharge>()(
  "refund_exceeds_charge",
  409,
  "More than the charge has left",
  { charged: credits(), refunded: credits(), refundable: credits() },
  ["CR005"]
) {}

export class ReservationClosed extends problem<ReservationClosed>()(
  "reservation_closed",
  409,
  "The reservation isn't open any more",
  { reservationId: uuid, reservationStatus: Schema.Literals(["committed", "released", "expired"]) },
  ["CR007"]
) {}

export class GiftNotFound extends problem<GiftNotFound>()(
  "gift_not_found",
  404,
  "No such gift",
  { giftId: Schema.optionalKey(uuid) },
  ["CR201"]
) {}

export class GiftNotActive extends problem<GiftNotActive>()(
  "gift_not_active",
  409,
  "The gift is redeemed or cancelled",
  { giftStatus: Schema.Literals(["redeemed", "cancelled"]) },
  ["CR202"]
) {}

export class GiftExpired extends problem<GiftExpired>()(
  "gift_expired",
  409,
  "The gift is expired",
  { expiresAt: wireTime },
  ["CR203"]
) {}

export class GiftWrongRecipient extends problem<GiftWrongRecipient>()(
  "gift_wrong_recipient",
  409,
  "The gift is for somebody else",
  {},
  ["CR204"]
) {}

export class SyncAlreadyActive extends problem<SyncAlreadyActive>()(
  "sync_already_active",
  409,
  "Sync is active already",
  { nextChargeAt: Schema.NullOr(wireTime) },
  ["CR101"]
) {}

export class SyncNotActive extends problem<SyncNotActive>()("sync_not_active", 409, "Sync isn't active", {}, [
  "CR102"
]) {}

export class SyncGifted extends problem<SyncGifted>()(
  "sync_gifted",
  409,
  "Sync is a gift, and not its owner's to change",
  { giftedAt: wireTime },
  ["CR103"]
) {}

export class SyncGiftNotFound extends problem<SyncGiftNotFound>()(
  "sync_gift_not_found",
  404,
  "No gift of sync to revoke",
  { userId: Schema.String },
  ["CR104"]
) {}

/** Of no route: events are replayed from psql. */
export class EventNotFound extends problem<EventNotFound>()(
  "event_not_found",
  404,
  "No such event",
  { userId: Schema.String, eventId: count() },
  ["CR105"]
) {}

export class PackageNotFound extends problem<PackageNotFound>()(
  "package_not_found",
  404,
  "No such package",
  { packageId: Schema.String },
  ["CR301"]
) {}

export class PackageInactive extends problem<PackageInactive>()(
  "package_inactive",
  409,
  "The package is no longer sold",
  { packageId: Schema.String },
  ["CR302"]
) {}

export class PurchaseNotFound extends problem<PurchaseNotFound>()(
  "purchase_not_found",
  404,
  "No such purchase",
  { purchaseId: uuid },
  ["CR303"]
) {}

export class PurchaseClosed extends problem<PurchaseClosed>()(
  "purchase_closed",
  409,
  "The purchase was given up",
  { purchaseId: uuid },
  ["CR304"]
) {}

export class PaymentsNotConfigured extends problem<PaymentsNotConfigured>()(
  "payments_not_configured",
  503,
  "No payments here",
  {}
) {}

export class PayloadTooLarge extends problem<PayloadTooLarge>()("payload_too_large", 413, "The body is too large", {
  limitBytes: count()
}) {}

export class TooManyRequests extends problem<TooManyRequests>()(
  "too_many_requests",
  429,
  "Too many requests",
  { retryAfterSeconds },
  ["CR205", "CR308"]
) {}

/** Of no route: keys are made and ended from the command line and psql. */
export class ServiceKeyNotFound extends problem<ServiceKeyNotFound>()(
  "service_key_not_found",
  404,
  "No such service key",
  {},
  ["CR401"]
) {}

/** Of no route: keys are made and ended from the command line and psql. */
export class ServiceKeyEnded extends problem<ServiceKeyEnded>()(
  "service_key_ended",
  409,
  "The service key is revoked, expired or rotated",
  { prefix: Schema.String, keyStatus: Schema.Literals(["revoked", "expired", "rotated"]) },
  ["CR402"]
) {}

export class DailyCapReached extends problem<DailyCapReached>()(
  "daily_cap_reached",
  429,
  "More than the service key may spend a day",
  {
    cap: credits("Credits that may be debited or held through the key in a UTC day"),
    spent: credits("Credits of today's that are used up"),
    retryAfterSeconds: count("Until midnight UTC")
  },
  ["CR403"]
) {}

/** No route declares the SQLSTATEs: raised behind one, they are a bug like any other, and a 500. */
export class InternalError extends problem<InternalError>()(
  "internal_error",
  500,
  "Our mistake",
  { requestId: Schema.String },
  ["CR009", "CR305", "CR306", "CR307"]
) {}

export class ServiceUnavailable extends problem<ServiceUnavailable>()("unavailable", 503, "Not available just now", {
  retryAfterSeconds
}) {}
