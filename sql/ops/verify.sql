create or replace function ops.verify()
returns table (invariant text, user_id text, detail text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select * from ops.verify_balances()
  union all
  select * from ops.verify_chain()
  union all
  select * from ops.verify_holds()
  union all
  select * from ops.verify_purchases()
  union all
  select * from ops.verify_refunds()
  union all
  select * from ops.verify_once()
  union all
  select * from ops.verify_gifts()
  union all
  select * from ops.verify_sync()
  union all
  select * from ops.verify_usage()
  union all
  select * from ops.verify_service_keys();
$$;

comment on function ops.verify() is
  'Checks every invariant of the books against the rows: one row for each thing that is wrong, none when the books are true. Reads the whole ledger. For mana_service, mana_ops and mana_readonly.';
