create or replace function stripe.apply_stored_event(
  p_event credits.stripe_events, p_now timestamptz, p_only_purchase_ids uuid[] default null
)
returns credits.stripe_events
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_event credits.stripe_events := p_event;
  v_kind text := stripe.event_kind(p_event.type);
  v_purchase_id uuid;
  v_before credits.purchases;
  v_after credits.purchases;
  v_message text;
begin
  v_event.attempts := v_event.attempts + 1;
  v_event.outcome := 'kept';
  v_event.reason := null;
  v_event.detail := null;
  begin
    if v_kind = 'ignored' then
      v_event.outcome := 'ignored';
    elsif v_kind = 'unknown' then
      v_event.reason := 'type_unknown';
    else
      v_purchase_id := stripe.find_purchase(v_event.payload #> '{data,object}');
      if v_purchase_id is not null and not v_purchase_id = any (p_only_purchase_ids) then
        return p_event;
      end if;
      v_before := stripe.lock_purchase(v_purchase_id);
      v_event.user_id := v_before.user_id;
      v_event.purchase_id := v_before.id;
      v_event.reason := stripe.doubt(v_event, v_before);
      if v_event.reason is null then
        v_after := stripe.facts_after(v_before, v_event, p_now);
        v_after := stripe.settle_purchase(v_before, v_after, p_now);
        v_event.outcome := 'applied';
      end if;
    end if;
  exception when others then
    -- Whatever we didn't think of is undone and kept with its reason; only what may work in a moment (deadlock, out
    -- of memory, shutdown) goes up, so that the caller tries the whole again.
    get stacked diagnostics v_message = message_text;
    if credits.is_passing_trouble(sqlstate) then
      raise;
    end if;
    v_event.outcome := 'kept';
    v_event.reason := 'error';
    v_event.detail := format('%s: %s', sqlstate, v_message);
  end;

  v_event.closed_at := case when v_event.outcome <> 'kept' then p_now end;
  -- 2, 4, 8 … minutes, then every 12 hours: 14 times in about three days, as long as Stripe itself would try.
  v_event.next_attempt_at := case
    when v_event.outcome = 'kept' and v_event.attempts < 14 then
      p_now + least(interval '1 minute' * 2 ^ least(v_event.attempts, 10), interval '12 hours')
  end;
  update credits.stripe_events e
  set
    user_id = v_event.user_id,
    purchase_id = v_event.purchase_id,
    outcome = v_event.outcome,
    reason = v_event.reason,
    detail = v_event.detail,
    attempts = v_event.attempts,
    next_attempt_at = v_event.next_attempt_at,
    closed_at = v_event.closed_at
  where e.id = v_event.id;

  if v_event.outcome = 'applied' and v_before.payment_intent_id is distinct from v_after.payment_intent_id then
    perform stripe.apply_waiting_events(v_after.payment_intent_id, p_now);
  end if;
  return v_event;
end
$$;

comment on function stripe.apply_stored_event(credits.stripe_events, timestamptz, uuid[]) is
  'Tries to apply an event that is stored and whose row the caller has locked, writes down what came of it, and returns it. A caller that holds several balances says of which purchases: an event that has turned out to be another one''s is left as it is, since its balance can''t be taken out of order. Internal.';
