create or replace function events.failed(
  p_user_id text, p_id bigint, p_error text, p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_event credits.events;
begin
  -- A user's event and the next one, in whatever order they came to be sent: one at a time, nobody in a circle.
  perform pg_advisory_xact_lock(hashtextextended('events ' || p_user_id, 0));
  update credits.events e
  set
    -- 10 seconds, 30, 90 … at most 6 hours between two tries; the last one when three days are over.
    deliver_at = case
      when p_now < e.due_since + interval '3 days' then least(
        p_now + least(interval '10 seconds' * 3 ^ least(e.attempts - 1, 10), interval '6 hours'),
        e.due_since + interval '3 days'
      )
    end,
    parked_at = case when p_now >= e.due_since + interval '3 days' then p_now end,
    last_error = left(p_error, 1000)
  where e.user_id = p_user_id and e.id = p_id and e.deliver_at is not null and e.attempts > 0
  returning * into v_event;
  if v_event.parked_at is not null then
    perform events.wake_next(p_user_id, p_now);
  end if;
  return jsonb_build_object(
    'parked', v_event.parked_at is not null, 'nextAttemptAt', credits.iso8601(v_event.deliver_at)
  );
end
$$;

comment on function events.failed(text, bigint, text, timestamptz) is
  'The receiver did not take a claimed event: tried again later, the user''s later events waiting behind it; parked three days after it was first due, and they go on. Answers { parked, nextAttemptAt }. For mana_service and mana_ops.';
