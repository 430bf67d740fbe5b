create or replace function ops.adjust(
  p_user_id text, p_amount bigint, p_who text, p_why text, p_now timestamptz default now()
)
returns credits.transactions
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return ops.post_by_hand(p_user_id, 'adjustment', 'adjustments', p_amount, p_who, p_why, p_now);
end
$$;

comment on function ops.adjust(text, bigint, text, text, timestamptz) is
  'Corrects a balance by hand, up or down (never below what is held), at most 1,000,000,000 credits; who and why are kept in the ledger row, which is returned. CR001 invalid argument, CR002 not enough spendable credits. For mana_ops.';
