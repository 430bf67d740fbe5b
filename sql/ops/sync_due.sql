create or replace function ops.sync_due(p_now timestamptz default now())
returns table (
  user_id text, "interval" text, credits bigint, next_charge_at timestamptz, available bigint, last_error text
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select s.user_id, s.interval, p.credits, s.next_charge_at, b.balance - b.held, e.message
  from credits.sync_subscriptions s
  join credits.sync_prices p on p.interval = s.interval
  join credits.balances b on b.user_id = s.user_id
  left join credits.sync_charge_errors e on e.user_id = s.user_id
  where s.next_charge_at <= p_now
  order by s.next_charge_at, s.user_id;
$$;

comment on function ops.sync_due(timestamptz) is
  'Whose sync is to be charged by a time, longest due first: credits is the price, available what can be spent now. For mana_ops and mana_readonly.';
