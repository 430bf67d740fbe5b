create or replace function credits.write_caps(p_caps credits.cap_count[])
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  update credits.service_key_days d
  set spent = c.spent
  from unnest(p_caps) c
  where d.key_id = c.first_id and d.day = c.day and d.spent <> c.spent;
$$;

comment on function credits.write_caps(credits.cap_count[]) is
  'Writes what the caps have come to since credits.lock_caps. Internal.';
