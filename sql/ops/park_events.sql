create or replace function ops.park_events(
  p_before timestamptz, p_limit integer default 10000, p_now timestamptz default now()
)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_parked bigint;
  v_user_ids text[];
begin
  with old as (
    select x.user_id, x.id
    from credits.events x
    where x.deliver_at is not null and x.created_at < p_before
    order by x.deliver_at, x.id
    limit p_limit
    for no key update skip locked
  ), parked as (
    update credits.events e
    set deliver_at = null, parked_at = p_now, last_error = 'parked by ' || session_user
    from old
    where e.user_id = old.user_id and e.id = old.id
    returning e.user_id
  )
  select count(*), array_agg(distinct p.user_id) into v_parked, v_user_ids from parked p;
  -- What waited behind them waits for nothing any more.
  perform events.wake_next(u.user_id, p_now) from unnest(v_user_ids) u (user_id);
  return v_parked;
end
$$;

comment on function ops.park_events(timestamptz, integer, timestamptz) is
  'Sets undelivered events from before a time aside, at most p_limit: for a receiver that came late and wants none of the past. Returns their number; call again until it is 0. ops.replay_event() delivers one after all. For mana_ops.';
