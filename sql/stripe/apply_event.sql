create or replace function stripe.apply_event(p_event jsonb, p_now timestamptz default now())
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_payload jsonb;
  v_event credits.stripe_events;
  v_duplicate boolean;
begin
  perform credits.check_text('event.id', p_event ->> 'id', 255);
  perform credits.check_text('event.type', p_event ->> 'type', 255);
  if jsonb_typeof(p_event -> 'created') is distinct from 'number'
     or (p_event ->> 'created')::numeric not between 0 and 253402300799 then
    perform credits.invalid('event.created', 'must be seconds since 1970');
  end if;
  if jsonb_typeof(p_event -> 'livemode') is distinct from 'boolean' then
    perform credits.invalid('event.livemode', 'must be true or false');
  end if;
  if jsonb_typeof(p_event #> '{data,object}') is distinct from 'object' then
    perform credits.invalid('event.data', 'must hold the object that the event is about');
  end if;
  -- With the client secret somebody could pay in the buyer's place: nothing to keep.
  v_payload := p_event #- '{data,object,client_secret}';
  if jsonb_typeof(v_payload #> '{data,object,payment_intent}') = 'object' then
    v_payload := v_payload #- '{data,object,payment_intent,client_secret}';
  end if;

  insert into credits.stripe_events (
    id, type, created, api_version, livemode, payload, payment_intent_id, reason, received_at
  )
  values (
    p_event ->> 'id',
    p_event ->> 'type',
    to_timestamp((p_event ->> 'created')::double precision),
    p_event ->> 'api_version',
    (p_event ->> 'livemode')::boolean,
    v_payload,
    stripe.payment_intent_id(p_event #> '{data,object}'),
    'new',
    p_now
  )
  -- The same event at the same time waits here for the first to commit.
  on conflict (id) do nothing;
  select * into strict v_event from credits.stripe_events e where e.id = p_event ->> 'id' for no key update;

  v_duplicate := v_event.outcome <> 'kept';
  if not v_duplicate then
    if v_event.payload <> v_payload then
      -- Read again from Stripe, in the version that we understand.
      update credits.stripe_events e
      set
        payload = v_payload,
        api_version = p_event ->> 'api_version',
        payment_intent_id = stripe.payment_intent_id(p_event #> '{data,object}')
      where e.id = v_event.id
      returning * into v_event;
    end if;
    v_event := stripe.apply_stored_event(v_event, p_now);
  end if;
  return jsonb_build_object(
    'eventId', v_event.id,
    'outcome', v_event.outcome,
    'reason', v_event.reason,
    'purchaseId', v_event.purchase_id,
    'duplicate', v_duplicate
  );
end
$$;

comment on function stripe.apply_event(jsonb, timestamptz) is
  'Stores an event of Stripe''s and applies it, in one transaction: any order, any number of times, at once or not, the books end the same. What it does hangs on the payment, its refunds and disputes, never on the event''s id. Answers { eventId, outcome: applied | ignored | kept, reason, purchaseId, duplicate }; kept ones are tried again by stripe.retry_events and stand in ops.kept_events. The caller has verified the signature. CR001 not an event. For mana_service and mana_ops.';
