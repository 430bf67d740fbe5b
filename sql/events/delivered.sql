create or replace function events.delivered(p_user_id text, p_id bigint, p_now timestamptz default now())
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  -- A user's event and the next one, in whatever order they came to be sent: one at a time, nobody in a circle.
  perform pg_advisory_xact_lock(hashtextextended('events ' || p_user_id, 0));
  update credits.events e
  set delivered_at = p_now, deliver_at = null, parked_at = null, last_error = null
  where e.user_id = p_user_id and e.id = p_id and e.delivered_at is null;
  -- Said again, it wakes nobody: the next event may be on its way already.
  if found then
    perform events.wake_next(p_user_id, p_now);
  end if;
  return jsonb_build_object('delivered', true);
end
$$;

comment on function events.delivered(text, bigint, timestamptz) is
  'The receiver took the event; the user''s next one is due. Answers { delivered: true }, also when it is called again. For mana_service and mana_ops.';
