create or replace function ops.sync_errors()
returns setof credits.sync_charge_errors
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select * from credits.sync_charge_errors e order by e.first_failed_at, e.user_id;
$$;

comment on function ops.sync_errors() is
  'Subscriptions that can''t be charged for a reason other than credits, oldest first: mend what message says; the run tries again at next_attempt_at. For mana_ops and mana_readonly.';
