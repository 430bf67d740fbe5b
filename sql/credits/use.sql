create or replace function credits.use(
  p_user_id text,
  p_amount bigint,
  p_app_id text,
  p_description text,
  p_idempotency_key text default null,
  p_metadata jsonb default null,
  p_operation text default null,
  p_quantity bigint default null,
  p_caller text default session_user,
  p_service_key_id uuid default null,
  p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off -- a plan from when the tables were small must do when they are large
as $$
declare
  v_request credits.use_request := row(
    p_user_id, p_amount, p_app_id, p_description, p_idempotency_key, p_metadata, p_operation, p_quantity, p_caller
  );
  v_balance credits.balances;
  v_decision record;
begin
  select * into v_balance from credits.balances b where b.user_id = p_user_id for no key update;
  v_decision := credits.decide_use(v_balance, v_request);
  if v_decision.o_answer is not null then
    return v_decision.o_answer;
  end if;
  if p_service_key_id is not null then
    perform credits.spend_cap(p_service_key_id, v_decision.o_amount, p_now);
  end if;
  return credits.write_use(v_balance, v_request, v_decision.o_amount, p_now);
end
$$;

comment on function credits.use(text, bigint, text, text, text, jsonb, text, bigint, text, uuid, timestamptz) is
  'Takes credits from a user for an app, or the price of an operation in place of an amount (then p_amount is null). Answers { transaction, newBalance: { balance, totalSpent } }, all in credits, balance being what can still be spent; replayed: true when the key was seen before. CR001 invalid argument, CR002 not enough credits, CR003 key reused, CR403 beyond the daily cap of the service key it comes through. For mana_service and mana_ops.';
