create or replace function ops.retire_package(p_id text, p_now timestamptz default now())
returns credits.packages
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  select ops.change_package(p_id, p_active => false, p_now => p_now);
$$;

comment on function ops.retire_package(text, timestamptz) is
  'Takes a package off sale and returns it; ops.change_package(…, p_active => true) brings it back. Purchases begun before go on. CR301 no such package. For mana_ops.';
