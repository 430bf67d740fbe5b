create or replace function credits.decide_use(
  p_balance credits.balances, p_request credits.use_request, out o_answer jsonb, out o_amount bigint
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  -- Nearly every request is sound, and one expression says so: a statement for each check costs more than the rest of
  -- the decision. What is wrong with the others, the checks say.
  if (
    char_length(p_request.user_id) between 1 and 128
    and char_length(p_request.app_id) between 1 and 64
    and char_length(p_request.description) between 1 and 500
    and p_request.metadata is null
    and char_length(coalesce(p_request.idempotency_key, '-')) between 1 and 255
  ) is not true then
    perform credits.check_text('userId', p_request.user_id, 128);
    perform credits.check_text('appId', p_request.app_id, 64);
    perform credits.check_text('description', p_request.description, 500);
    perform credits.check_metadata(p_request.metadata);
    perform credits.check_text('idempotencyKey', coalesce(p_request.idempotency_key, '-'), 255);
  end if;

  if p_request.idempotency_key is not null then
    o_answer := credits.remembered_answer(
      p_request.user_id, p_request.caller, p_request.idempotency_key, credits.use_request_json(p_request)
    );
    if o_answer is not null then
      return;
    end if;
  end if;

  o_amount := credits.amount_to_charge(p_request.amount, p_request.operation, p_request.quantity);
  -- A user without a balance has no row, and nothing to spend.
  if coalesce(p_balance.balance - p_balance.held, 0) < o_amount then
    perform credits.check_spendable(p_balance, o_amount);
  end if;
end
$$;

comment on function credits.decide_use(credits.balances, credits.use_request) is
  'Decides a debit without writing: the remembered answer of a replay, or the credits to take. CR001 invalid, CR002 not enough credits, CR003 key reused. The caller holds the lock. Internal.';
