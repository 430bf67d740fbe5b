create or replace function credits.balance(p_user_id text, p_at timestamptz default null)
returns jsonb
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform credits.check_text('userId', p_user_id, 128);
  if p_at is not null then
    return credits.balance_json(credits.balance_at(p_user_id, p_at));
  end if;
  return coalesce(
    (select credits.balance_json(b) from credits.balances b where b.user_id = p_user_id),
    '{"balance": 0, "held": 0, "debt": 0, "totalEarned": 0, "totalSpent": 0}'
  );
end
$$;

comment on function credits.balance(text, timestamptz) is
  'A user''s balance in credits, now or as it was at a time: { balance (spendable), held, debt, totalEarned, totalSpent }; zeros for a user without an account. Writes nothing. CR001 no user id. For mana_service, mana_ops and mana_readonly.';
