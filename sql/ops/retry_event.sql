create or replace function ops.retry_event(p_event_id text, p_now timestamptz default now())
returns credits.stripe_events
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_event credits.stripe_events;
begin
  select * into v_event from credits.stripe_events e where e.id = p_event_id for no key update;
  if not found then
    raise exception using
      errcode = 'CR307', message = 'There is no such event here. Stripe''s dashboard can send it again.',
      detail = jsonb_build_object('eventId', p_event_id);
  end if;
  v_event.attempts := 0;
  return stripe.apply_stored_event(v_event, p_now);
end
$$;

comment on function ops.retry_event(text, timestamptz) is
  'Applies a stored event of Stripe''s again, whatever came of it before, and returns it; what was done stays done once. A kept one is retried for three more days. CR307 no such event. For mana_ops.';
