create or replace function credits.write_use(
  p_balance credits.balances, p_request credits.use_request, p_amount bigint, p_now timestamptz
)
returns jsonb
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_metadata jsonb := p_request.metadata;
  v_posting credits.posting;
  v_transaction credits.transactions;
  v_answer jsonb;
begin
  if p_request.operation is not null then
    v_metadata := coalesce(v_metadata, '{}')
      || jsonb_build_object('operation', p_request.operation, 'quantity', coalesce(p_request.quantity, 1));
  end if;
  v_posting.type := 'usage';
  v_posting.amount := -p_amount;
  v_posting.counter_account := 'revenue:' || p_request.app_id;
  v_posting.app_id := p_request.app_id;
  v_posting.description := p_request.description;
  v_posting.metadata := v_metadata;
  v_posting.idempotency_key := p_request.idempotency_key;
  v_posting.caller := p_request.caller;
  v_transaction := credits.post(p_balance, v_posting, p_now);

  v_answer := jsonb_build_object(
    'transaction', credits.transaction_json(v_transaction),
    'newBalance', jsonb_build_object(
      'balance', v_transaction.balance_after - p_balance.held,
      'totalSpent', p_balance.total_spent + p_amount
    )
  );
  perform credits.remember_answer(
    p_request.user_id,
    p_request.caller,
    p_request.idempotency_key,
    credits.use_request_json(p_request),
    v_answer,
    p_now
  );
  return v_answer;
end
$$;

comment on function credits.write_use(credits.balances, credits.use_request, bigint, timestamptz) is
  'Writes a debit that credits.decide_use allowed, remembers the answer under its key, and returns it. The caller holds the lock. Internal.';
