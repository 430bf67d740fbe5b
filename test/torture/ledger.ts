/** The books as they are, read past the service: by a superuser, straight from the tables. */
import { Schema } from "effect"
import type pg from "pg"

const Whole = Schema.FiniteFromString
const OrNull = Schema.NullOr(Schema.String)
const Time = Schema.Date

export const LedgerRow = Schema.Struct({
  user_id: Schema.String,
  seq: Whole,
  id: Schema.String,
  type: Schema.String,
  amount: Whole,
  balance_before: Whole,
  balance_after: Whole,
  counter_account: Schema.String,
  app_id: OrNull,
  description: Schema.String,
  metadata: Schema.NullOr(Schema.Record(Schema.String, Schema.Unknown)),
  idempotency_key: OrNull,
  related_transaction_id: OrNull,
  caller: Schema.String,
  created_at: Time
})
export type LedgerRow = typeof LedgerRow.Type

const BalanceRow = Schema.Struct({
  user_id: Schema.String,
  balance: Whole,
  held: Whole,
  debt: Whole,
  total_earned: Whole,
  total_spent: Whole
})

const ReservationRow = Schema.Struct({
  user_id: Schema.String,
  id: Schema.String,
  status: Schema.Literals(["open", "committed", "released", "expired"]),
  amount: Whole,
  reason: Schema.String,
  app_id: OrNull,
  created_at: Time,
  expires_at: Time,
  closed_at: Schema.NullOr(Time),
  transaction_id: OrNull
})

const GiftRow = Schema.Struct({
  id: Schema.String,
  creator_id: Schema.String,
  status: Schema.String,
  total_credits: Whole,
  message: OrNull,
  escrow_transaction_id: Schema.String,
  return_transaction_id: OrNull,
  redeemer: OrNull,
  redemption_id: OrNull
})

const PurchaseRow = Schema.Struct({
  user_id: Schema.String,
  id: Schema.String,
  package_id: Schema.String,
  credits: Whole,
  status: Schema.String,
  transaction_id: OrNull
})

const ChargeRow = Schema.Struct({ user_id: Schema.String, transaction_id: Schema.String, credits: Whole })

const KeyRow = Schema.Struct({
  user_id: Schema.String,
  caller: Schema.String,
  key: Schema.String,
  answer: Schema.Unknown
})

const columns = (schema: { readonly fields: object }, of: string) =>
  Object.keys(schema.fields)
    .map((name) => `${of}.${name}`)
    .join(", ")

export const readLedger = async (client: pg.Client) => {
  const rows = async <A, I>(schema: Schema.Codec<A, I>, text: string) => {
    const result = await client.query(text)
    return Schema.decodeUnknownSync(Schema.Array(schema))(result.rows)
  }
  // One snapshot for all of it.
  await client.query("begin isolation level repeatable read read only")
  try {
    return {
      rows: await rows(
        LedgerRow,
        `select ${columns(LedgerRow, "t")} from credits.transactions t order by t.user_id, t.seq`
      ),
      balances: await rows(BalanceRow, `select ${columns(BalanceRow, "b")} from credits.balances b`),
      reservations: await rows(ReservationRow, `select ${columns(ReservationRow, "r")} from credits.reservations r`),
      gifts: await rows(
        GiftRow,
        `select g.id, g.creator_id, g.status, g.total_credits, g.message, g.escrow_transaction_id,
           g.return_transaction_id, r.user_id as redeemer, r.transaction_id as redemption_id
         from gifts.gift_codes g left join gifts.gift_redemptions r on r.gift_id = g.id`
      ),
      purchases: await rows(PurchaseRow, `select ${columns(PurchaseRow, "p")} from credits.purchases p`),
      charges: await rows(ChargeRow, `select ${columns(ChargeRow, "c")} from credits.sync_charges c`),
      keys: await rows(KeyRow, `select ${columns(KeyRow, "k")} from credits.idempotency_keys k`)
    }
  } finally {
    await client.query("commit")
  }
}

export type Ledger = Awaited<ReturnType<typeof readLedger>>
