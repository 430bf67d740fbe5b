create or replace function ops.migrations()
returns table (name text, applied_at timestamptz)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select m.filename, m.date
  from graphile_migrate.migrations m
  order by m.filename;
$$;

comment on function ops.migrations() is
  'The committed migrations this database has, oldest first, by number without their message: the service compares them with those it was built with. For mana_service, mana_ops and mana_readonly.';
