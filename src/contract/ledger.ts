/** A row of the ledger, a balance, and what a debit answers: shared by personal and internal routes. */
import { Schema } from "effect"
import {
  always,
  amount,
  appId,
  credits,
  description,
  idempotencyKey,
  oneOf,
  operation,
  optional,
  quantity,
  uuid,
  wireTime
} from "./fields.ts"
import { keptMetadata, metadata } from "./metadata.ts"

export const TransactionType = oneOf("purchase", "usage", "refund", "gift", "grant", "clawback", "expiry", "adjustment")

export const Transaction = Schema.Struct({
  id: uuid,
  userId: Schema.String,
  type: TransactionType,
  status: Schema.Literal("completed"),
  amount: credits("Credits; negative for what leaves"),
  balanceBefore: credits(),
  balanceAfter: credits("Credits in the ledger, open holds included"),
  appId: Schema.NullOr(Schema.String),
  description: Schema.String,
  metadata: keptMetadata,
  idempotencyKey: Schema.NullOr(Schema.String),
  relatedTransactionId: Schema.NullOr(uuid),
  createdAt: wireTime,
  completedAt: wireTime
}).annotate({ identifier: "Transaction" })

/** The `balance` of a response: holds are subtracted. */
export const spendable = credits("Credits that can be spent now")

export const Balance = Schema.Struct({
  balance: spendable,
  held: credits(),
  debt: credits(),
  totalEarned: credits(),
  totalSpent: credits()
}).annotate({ identifier: "Balance" })

/** What to charge: an amount, or an operation of the price list in its place. */
export const charge = {
  amount: optional(amount),
  operation: optional(operation),
  quantity: optional(quantity)
}

/** One debit, as a person or a service asks for it. */
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
  newBalance: Schema.Struct({ balance: spendable, totalSpent: credits() })
}

export const Debited = Schema.Struct({ success: always(true), ...debited }).annotate({ identifier: "Debited" })
