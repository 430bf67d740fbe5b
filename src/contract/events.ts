/** The events that we send: sql/events.md for programs. src/worker/deliver-events.ts sends them. */
import { Schema } from "effect"
import { credits, uuid, wireTime } from "./fields.ts"
import { Purchase } from "./purchases.ts"
import { interval } from "./sync.ts"

const event = <const Type extends string, const Fields extends Schema.Struct.Fields>(
  type: Type,
  when: string,
  fields: Fields,
  example: NoInfer<Schema.Struct.Encoded<Fields>>
) => ({
  type,
  when,
  schema: Schema.Struct({
    type: Schema.Literal(type),
    timestamp: wireTime,
    data: Schema.Struct({ userId: Schema.String, ...fields })
  }),
  example: { type, timestamp: "2027-01-28T09:00:15.250Z", data: { userId: "ada", ...example } }
})

const optional = Schema.optionalKey
const by = Schema.String.annotate({ description: "Who did it" })
const why = Schema.String
const gifted = Schema.Literal(true).annotate({ description: "In place of the others: sync as a gift" })
const nullable = Schema.NullOr(Schema.String)
const id = "01a1f8b1-ef81-796c-bc8b-80ca470e7b2d"
const transactionId = "01a1f8b2-0b5e-7c1f-9a60-3f1d2c4b5a69"

const { id: purchaseId, createdAt: _createdAt, completedAt: _completedAt, ...ofPurchase } = Purchase.fields
const purchase = { purchaseId, ...ofPurchase }

const bought = {
  purchaseId: id,
  packageId: "credits_500",
  status: "completed",
  credits: 500,
  creditsKept: 500,
  priceEuroCents: 500,
  refundedEuroCents: 0,
  disputedEuroCents: 0,
  dispute: null
} as const

const started = { interval: optional(interval), amountCharged: optional(credits()), nextChargeAt: optional(wireTime) }
const begun = { interval: "monthly", amountCharged: 30, nextChargeAt: "2027-02-28T09:00:00.000Z" } as const

export const events = [
  event(
    "credits.low_balance",
    "A debit took the balance below what ops.set_low_balance_threshold says",
    { balance: credits("Credits, open holds included"), threshold: credits() },
    { balance: 15, threshold: 20 }
  ),
  event(
    "gift.created",
    "Somebody made a gift code",
    {
      giftId: uuid,
      type: Schema.Literals(["simple", "personalized"]),
      credits: credits(),
      expiresAt: wireTime,
      transactionId: uuid
    },
    { giftId: id, type: "simple", credits: 25, expiresAt: "2027-04-28T09:00:15.250Z", transactionId }
  ),
  event(
    "gift.redeemed",
    "A gift was redeemed; sent to its giver and to its recipient",
    {
      giftId: uuid,
      side: Schema.Literals(["creator", "redeemer"]).annotate({ description: "Which of the two `userId` is" }),
      credits: credits(),
      creatorName: optional(nullable.annotate({ description: "To the redeemer only" })),
      message: optional(nullable.annotate({ description: "To the redeemer only" })),
      transactionId: optional(uuid.annotate({ description: "To the redeemer only" }))
    },
    { giftId: id, side: "redeemer", credits: 25, creatorName: "Ben", message: "Happy birthday", transactionId }
  ),
  event(
    "gift.cancelled",
    "Its creator took the gift back",
    { giftId: uuid, credits: credits(), transactionId: uuid },
    { giftId: id, credits: 25, transactionId }
  ),
  event(
    "gift.expired",
    "Nobody redeemed the gift in time",
    { giftId: uuid, credits: credits(), transactionId: uuid },
    { giftId: id, credits: 25, transactionId }
  ),
  event("purchase.completed", "A payment came in", purchase, bought),
  event("purchase.failed", "A payment failed or was cancelled", purchase, {
    ...bought,
    status: "failed",
    creditsKept: 0
  }),
  event("purchase.refunded", "Money went back", purchase, { ...bought, creditsKept: 300, refundedEuroCents: 200 }),
  event("purchase.disputed", "A dispute was opened, changed or closed", purchase, { ...bought, dispute: "open" }),
  event("sync.activated", "Sync is on", { ...started, gifted: optional(gifted), by: optional(by) }, begun),
  event(
    "sync.charged",
    "A period was charged",
    { interval, credits: credits(), periodStart: wireTime, periodEnd: wireTime, transactionId: uuid },
    {
      interval: "monthly",
      credits: 30,
      periodStart: "2027-01-28T09:00:00.000Z",
      periodEnd: "2027-02-28T09:00:00.000Z",
      transactionId
    }
  ),
  event(
    "sync.renewal_at_risk",
    "The charge within three days can't be met; sent once a period",
    { interval, required: credits(), available: credits(), nextChargeAt: wireTime },
    { interval: "monthly", required: 30, available: 12, nextChargeAt: "2027-01-30T09:00:00.000Z" }
  ),
  event(
    "sync.paused",
    "Sync is off until there are credits, or until somebody resumes it",
    {
      reason: Schema.Literals(["insufficient_credits", "by_hand"]),
      interval: optional(interval),
      required: optional(credits()),
      available: optional(credits()),
      dueAt: optional(wireTime),
      by: optional(by.annotate({ description: "Who paused it by hand" })),
      why: optional(why)
    },
    {
      reason: "insufficient_credits",
      interval: "monthly",
      required: 30,
      available: 12,
      dueAt: "2027-01-28T09:00:00.000Z"
    }
  ),
  event(
    "sync.resumed",
    "Sync is on again after a pause",
    {
      interval,
      amountCharged: credits(),
      nextChargeAt: wireTime,
      by: optional(by.annotate({ description: "`autoResume`, or who resumed it by hand" })),
      why: optional(why)
    },
    { ...begun, by: "autoResume" }
  ),
  event(
    "sync.deactivated",
    "Sync is off",
    { paidUntil: optional(Schema.NullOr(wireTime)), gifted: optional(gifted), by: optional(by) },
    { paidUntil: "2027-02-28T09:00:00.000Z" }
  )
]

/** Headers of the POST, as Standard Webhooks has them. */
export const eventHeaders = {
  "webhook-id": { description: "The same however often the event is sent", example: "evt_4711" },
  "webhook-timestamp": { description: "Of this sending: seconds since 1970", example: "1801126815" },
  "webhook-signature": {
    description: "`v1,` and the base64 of HMAC-SHA256 over `<webhook-id>.<webhook-timestamp>.<body>`",
    example: "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="
  }
} as const

export const eventProtocol =
  "What happened, POSTed to EVENTS_WEBHOOK_URL and signed with EVENTS_WEBHOOK_SECRET as Standard Webhooks says " +
  "(standardwebhooks.com). At least once, and in order per user. Any 2xx within 10 seconds takes an event; otherwise it " +
  "is sent again, for three days."
