create or replace function ops.parked_events()
returns setof credits.events
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select * from credits.events e where e.parked_at is not null order by e.parked_at, e.id;
$$;

comment on function ops.parked_events() is
  'Events that nobody took for three days, oldest first; last_error says why. ops.replay_event() tries again. For mana_ops and mana_readonly.';
