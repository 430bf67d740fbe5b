create or replace function credits.transaction_json(p_transaction credits.transactions)
returns jsonb
language sql
stable
return jsonb_build_object(
  'id', p_transaction.id,
  'userId', p_transaction.user_id,
  'type', p_transaction.type,
  'status', 'completed', -- a row is in the ledger or it isn't
  'amount', p_transaction.amount,
  'balanceBefore', p_transaction.balance_before,
  'balanceAfter', p_transaction.balance_after,
  'appId', p_transaction.app_id,
  'description', p_transaction.description,
  'metadata', p_transaction.metadata,
  'idempotencyKey', p_transaction.idempotency_key,
  'relatedTransactionId', p_transaction.related_transaction_id,
  'createdAt', credits.iso8601(p_transaction.created_at),
  'completedAt', credits.iso8601(p_transaction.created_at)
);

comment on function credits.transaction_json(credits.transactions) is
  'A ledger row as callers see it. Internal.';
