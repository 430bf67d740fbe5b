create or replace function ops.sync_paused()
returns table (
  user_id text,
  "interval" text,
  credits bigint,
  available bigint,
  paused_at timestamptz,
  paused_by text,
  paused_why text,
  auto_resume boolean,
  paid_until timestamptz
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    s.user_id, s.interval, p.credits, b.balance - b.held, s.paused_at,
    s.paused_by, coalesce(s.paused_why, 'not enough credits'), s.auto_resume, s.paid_until
  from credits.sync_subscriptions s
  join credits.sync_prices p on p.interval = s.interval
  join credits.balances b on b.user_id = s.user_id
  where s.paused_at is not null
  order by s.paused_at desc, s.user_id;
$$;

comment on function ops.sync_paused() is
  'Whose sync is paused, latest first, since when and why; paused_by is null where credits ran out. credits is the price, available what can be spent now. For mana_ops and mana_readonly.';
