create or replace function credits.write_use(
  p_balance credits.balances, p_request credits.use_request, p_amount bigint, p_now timestamptz
)
returns jsonb
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_transaction credits.transactions;
  v_answer jsonb;
begin
  v_transaction := credits.post(p_balance, credits.use_posting(p_request, p_amount), p_now);
  v_answer := credits.use_answer(v_transaction, p_balance, p_amount);
  if p_request.idempotency_key is not null then
    insert into credits.idempotency_keys (user_id, caller, key, request_hash, answer, created_at)
    values (
      p_request.user_id,
      p_request.caller,
      p_request.idempotency_key,
      credits.request_hash(credits.use_request_json(p_request)),
      v_answer,
      p_now
    );
  end if;
  return v_answer;
end
$$;

comment on function credits.write_use(credits.balances, credits.use_request, bigint, timestamptz) is
  'Writes a debit that credits.decide_use allowed, remembers the answer under its key, and returns it. The caller holds the lock. Internal.';
