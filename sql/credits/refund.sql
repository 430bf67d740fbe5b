create or replace function credits.refund(
  p_user_id text,
  p_amount bigint,
  p_description text,
  p_app_id text default null,
  p_metadata jsonb default null,
  p_transaction_id uuid default null,
  p_idempotency_key text default null,
  p_caller text default session_user,
  p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_request jsonb := jsonb_build_array('refund', p_amount, p_description, p_app_id, p_metadata, p_transaction_id);
  v_balance credits.balances;
  v_charge credits.transactions;
  v_posting credits.posting;
  v_transaction credits.transactions;
  v_answer jsonb;
begin
  perform credits.check_amount('amount', p_amount);
  perform credits.check_text('description', p_description, 500);
  perform credits.check_metadata(p_metadata);
  if p_app_id is not null then
    perform credits.check_text('appId', p_app_id, 64);
  end if;
  if p_idempotency_key is not null then
    perform credits.check_text('idempotencyKey', p_idempotency_key, 255);
  end if;

  v_balance := credits.lock_balance(p_user_id);
  v_answer := credits.remembered_answer(p_user_id, p_caller, p_idempotency_key, v_request);
  if v_answer is not null then
    return v_answer;
  end if;
  if p_transaction_id is not null then
    v_charge := credits.refundable_charge(p_user_id, p_transaction_id, p_amount);
  end if;

  v_posting.type := 'refund';
  v_posting.amount := p_amount;
  v_posting.app_id := coalesce(p_app_id, v_charge.app_id);
  v_posting.counter_account := coalesce(v_charge.counter_account, 'revenue:' || p_app_id, 'adjustments');
  v_posting.description := p_description;
  v_posting.metadata := p_metadata;
  v_posting.idempotency_key := p_idempotency_key;
  v_posting.related_transaction_id := p_transaction_id;
  v_posting.caller := p_caller;
  v_transaction := credits.post(v_balance, v_posting, p_now);
  v_balance := credits.lock_balance(p_user_id); -- as it stands now: a debt may have been paid of it

  v_answer := jsonb_build_object(
    'transaction', credits.transaction_json(v_transaction),
    'newBalance', jsonb_build_object('balance', v_balance.balance - v_balance.held)
  );
  perform credits.remember_answer(p_user_id, p_caller, p_idempotency_key, v_request, v_answer, p_now);
  return v_answer;
end
$$;

comment on function credits.refund(text, bigint, text, text, jsonb, uuid, text, text, timestamptz) is
  'Gives credits back to a user: freely, or against a charge (p_transaction_id, a usage row of the same user), then never more in all than it took. Answers { transaction, newBalance: { balance } }, replayed: true when the key was seen before. CR001 invalid argument, CR003 key reused, CR004 no such charge, CR005 more than the charge has left. For mana_service and mana_ops.';
