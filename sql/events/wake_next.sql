create or replace function events.wake_next(p_user_id text, p_now timestamptz)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  update credits.events e
  set deliver_at = least(e.deliver_at, p_now)
  where e.user_id = p_user_id
    and e.id = (select min(x.id) from credits.events x where x.user_id = p_user_id and x.deliver_at is not null)
    and e.deliver_at > p_now;
$$;

comment on function events.wake_next(text, timestamptz) is
  'The user''s next event is due now that the one before it is out of the way. Internal.';
