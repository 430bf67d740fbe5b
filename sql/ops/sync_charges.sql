create or replace function ops.sync_charges(p_user_id text)
returns setof credits.sync_charges
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select * from credits.sync_charges c where c.user_id = p_user_id order by c.period_start desc;
$$;

comment on function ops.sync_charges(text) is
  'What a user was charged for sync, for which periods and when (created_at), latest first. For mana_ops and mana_readonly.';
