create or replace function credits.transaction_hash(p_previous bytea, p_transaction credits.transactions)
returns bytea
language sql
stable
return sha256(
  p_previous
  || convert_to(
    jsonb_build_array(
      p_transaction.user_id,
      p_transaction.seq,
      p_transaction.id,
      p_transaction.type,
      p_transaction.amount,
      p_transaction.balance_before,
      p_transaction.balance_after,
      p_transaction.counter_account,
      p_transaction.app_id,
      p_transaction.description,
      p_transaction.metadata,
      p_transaction.idempotency_key,
      p_transaction.related_transaction_id,
      p_transaction.caller,
      -- Microseconds since 1970, so that no session's time zone is in the hash.
      (extract(epoch from p_transaction.created_at) * 1000000)::bigint
    )::text,
    'UTF8'
  )
);

comment on function credits.transaction_hash(bytea, credits.transactions) is
  'sha256 over a ledger row and the hash of the same user''s previous row (empty before the first). ops.verify() recomputes it. Internal.';
