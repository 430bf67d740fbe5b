create or replace function credits.emit_many(p_user_ids text[], p_type text, p_data jsonb[], p_now timestamptz)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  insert into credits.events (user_id, type, data, created_at, deliver_at)
  select e.user_id, p_type, e.data, p_now, p_now
  from unnest(p_user_ids, p_data) e (user_id, data);
$$;

comment on function credits.emit_many(text[], text, jsonb[], timestamptz) is
  'credits.emit for many users in one statement: the n-th event''s data belongs to the n-th user. The caller holds their balances'' locks. Internal.';
