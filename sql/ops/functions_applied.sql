create or replace function ops.functions_applied()
returns table (checksum text, applied_at timestamptz)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select f.checksum, f.applied_at
  from ops.functions_applied f
  order by f.id;
$$;

comment on function ops.functions_applied() is
  'The checksums of the functions that were applied to this database, oldest first: the service looks for that of its own. For mana_service and mana_ops.';
