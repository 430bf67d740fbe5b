create or replace function ops.post_by_hand(
  p_user_id text, p_type text, p_counter_account text, p_amount bigint, p_who text, p_why text, p_now timestamptz
)
returns credits.transactions
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_who text := btrim(p_who, e' \t\r\n');
  v_why text := btrim(p_why, e' \t\r\n');
  v_balance credits.balances;
  v_posting credits.posting;
begin
  perform ops.check_who_and_why(v_who, v_why);
  -- greatest, since the smallest bigint has no abs
  perform credits.check_amount('amount', abs(greatest(p_amount, -1000000001)));
  v_balance := credits.lock_balance(p_user_id);
  if p_amount < 0 then
    perform credits.check_spendable(v_balance, -p_amount);
  end if;
  v_posting.type := p_type;
  v_posting.amount := p_amount;
  v_posting.counter_account := p_counter_account;
  v_posting.description := v_why;
  v_posting.metadata := jsonb_build_object('who', v_who, 'why', v_why);
  v_posting.caller := session_user;
  return credits.post(v_balance, v_posting, p_now);
end
$$;

comment on function ops.post_by_hand(text, text, text, bigint, text, text, timestamptz) is
  'One ledger row by hand, signed. Internal to ops.grant and ops.adjust.';
