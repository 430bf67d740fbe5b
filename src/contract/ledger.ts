/** A row of the ledger, a balance, and what a debit answers: shared by personal and internal routes. */
import { Schema } from "effect"
import {
  amount,
  appId,
  credits,
  description,
  idempotencyKey,
  metadata,
  operation,
  optional,
  quantity,
  time,
  uuid
} from "./fields.ts"

export const TransactionType = Schema.Literal(
  "purchase",
  "usage",
  "refund",
  "gift",
  "grant",
  "clawback",
  "expiry",
  "adjustment"
)

export const Transaction = Schema.Struct({
  id: uuid,
  userId: Schema.String,
  type: TransactionType,
  status: Schema.Literal("completed"),
  amount: credits.annotations({ description: "Credits; negative for what leaves" }),
  balanceBefore: credits,
  balanceAfter: credits.annotations({ description: "Credits in the ledger, open holds included" }),
  appId: Schema.NullOr(Schema.String),
  description: Schema.String,
  metadata: Schema.NullOr(Schema.Object),
  idempotencyKey: Schema.NullOr(Schema.String),
  relatedTransactionId: Schema.NullOr(uuid),
  createdAt: time,
  completedAt: time
}).annotations({ identifier: "Transaction" })

export const Balance = Schema.Struct({
  balance: credits.annotations({ description: "Credits that can be spent now" }),
  held: credits,
  debt: credits,
  totalEarned: credits,
  totalSpent: credits
}).annotations({ identifier: "Balance" })

/** What to charge: an amount, or an operation of the price list in its place. */
export const charge = {
  amount: optional(amount),
  operation: optional(operation),
  quantity: optional(quantity)
}

/** One debit, whoever asks for it. */
export const debit = {
  ...charge,
  appId,
  description,
  idempotencyKey: optional(idempotencyKey),
  metadata: optional(metadata)
}

/** A debit that happened. */
export const debited = {
  transaction: Transaction,
  newBalance: Schema.Struct({
    balance: credits.annotations({ description: "Credits that can be spent now" }),
    totalSpent: credits
  })
}

export const Debited = Schema.Struct({ success: Schema.Literal(true), ...debited }).annotations({
  identifier: "Debited"
})
