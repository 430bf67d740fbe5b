create or replace function ops.replay_event(p_user_id text, p_id bigint, p_now timestamptz default now())
returns credits.events
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_event credits.events;
begin
  update credits.events e
  set deliver_at = p_now, delivered_at = null, parked_at = null, due_since = null, attempts = 0
  where e.user_id = p_user_id and e.id = p_id
  returning * into v_event;
  if not found then
    raise exception using
      errcode = 'CR105', message = 'This user has no such event.',
      detail = jsonb_build_object('userId', p_user_id, 'eventId', p_id);
  end if;
  return v_event;
end
$$;

comment on function ops.replay_event(text, bigint, timestamptz) is
  'Delivers an event (again), parked or delivered, as if it were new: another three days of tries, before the user''s later events. Returns it. All parked ones: select ops.replay_event(user_id, id) from ops.parked_events(). CR105 no such event. For mana_ops.';
