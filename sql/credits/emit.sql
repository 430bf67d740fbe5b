create or replace function credits.emit(p_user_id text, p_type text, p_data jsonb, p_now timestamptz)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  insert into credits.events (user_id, type, data, created_at, deliver_at)
  values (p_user_id, p_type, p_data, p_now, p_now);
$$;

comment on function credits.emit(text, text, jsonb, timestamptz) is
  'Writes an event into the outbox, in the transaction of what happened. The caller holds the user''s balance lock. Internal.';
