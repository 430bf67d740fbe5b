create or replace function ops.grant(
  p_user_id text, p_amount bigint, p_who text, p_why text, p_now timestamptz default now()
)
returns credits.transactions
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform credits.check_amount('amount', p_amount);
  return ops.post_by_hand(p_user_id, 'grant', 'promotions', p_amount, p_who, p_why, p_now);
end
$$;

comment on function ops.grant(text, bigint, text, text, timestamptz) is
  'Gives a user credits (1 to 1,000,000,000) by hand; who and why are kept in the ledger row, which is returned. Every call gives again: credits.grant is the one that gives once. CR001 invalid argument. For mana_ops.';
