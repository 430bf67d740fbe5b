create or replace function credits.balance_at(p_user_id text, p_at timestamptz)
returns credits.balances
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_balance credits.balances;
begin
  v_balance.user_id := p_user_id;
  select
    coalesce(sum(t.amount), 0),
    coalesce(sum(t.amount) filter (where t.amount > 0), 0),
    coalesce(-sum(t.amount) filter (where t.amount < 0), 0)
  into v_balance.balance, v_balance.total_earned, v_balance.total_spent
  from credits.transactions t
  where t.user_id = p_user_id and t.created_at <= p_at;

  select coalesce(sum(d.amount), 0)
  into v_balance.debt
  from credits.debts d
  where d.user_id = p_user_id and d.created_at <= p_at;

  select coalesce(sum(r.amount), 0)
  into v_balance.held
  from credits.reservations r
  where r.user_id = p_user_id and r.created_at <= p_at and (r.closed_at is null or r.closed_at > p_at);
  return v_balance;
end
$$;

comment on function credits.balance_at(text, timestamptz) is
  'A user''s balance as the ledger, the holds and the debts say it was at a time, that instant included. Reads the user''s whole ledger. Internal.';
