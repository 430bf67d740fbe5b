create or replace function credits.grant(
  p_user_id text,
  p_amount bigint,
  p_reason text,
  p_reference_id text,
  p_description text default null,
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
  v_balance credits.balances;
  v_transaction_id uuid;
  v_posting credits.posting;
  v_transaction credits.transactions;
begin
  perform credits.check_amount('amount', p_amount);
  perform credits.check_text('reason', p_reason, 64);
  perform credits.check_text('referenceId', p_reference_id, 128);
  if p_description is not null then
    perform credits.check_text('description', p_description, 500);
  end if;

  v_balance := credits.lock_balance(p_user_id);
  select g.transaction_id into v_transaction_id
  from credits.grants g
  where g.user_id = p_user_id and g.reference_id = p_reference_id;
  if found then
    return jsonb_build_object(
      'alreadyGranted', true,
      'newBalance', v_balance.balance - v_balance.held,
      'transactionId', v_transaction_id
    );
  end if;

  v_posting.type := 'grant';
  v_posting.amount := p_amount;
  v_posting.counter_account := 'promotions';
  v_posting.description := coalesce(p_description, p_reason);
  v_posting.metadata := jsonb_build_object('reason', p_reason, 'referenceId', p_reference_id);
  v_posting.caller := p_caller;
  v_transaction := credits.post(v_balance, v_posting, p_now);
  v_balance := credits.lock_balance(p_user_id); -- as it stands now: a debt may have been paid of it

  insert into credits.grants (user_id, reference_id, reason, transaction_id, created_at)
  values (p_user_id, p_reference_id, p_reason, v_transaction.id, p_now);

  return jsonb_build_object(
    'alreadyGranted', false,
    'newBalance', v_balance.balance - v_balance.held,
    'transactionId', v_transaction.id
  );
end
$$;

comment on function credits.grant(text, bigint, text, text, text, text, timestamptz) is
  'Gives credits for a reason, once per user and reference. Answers { alreadyGranted, newBalance (spendable credits now), transactionId }; a second call with the reference changes nothing. CR001 invalid argument. For mana_service and mana_ops.';
