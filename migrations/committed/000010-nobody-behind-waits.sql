--! Previous: sha1:63741cb7f6c9f6a512666633da34eac8563362d6
--! Hash: sha1:8bfcdaeea7676b160ac6db6216f7afba3d76f6ad
--! Message: nobody-behind-waits

-- What is in use or broken keeps nobody behind it waiting; nobody's payment secret is kept.
set local role mana_owner;

--! Included credits/expire_holds_of.sql
create or replace function credits.expire_holds_of(p_user_ids text[], p_now timestamptz)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_middle integer := cardinality(p_user_ids) / 2;
  v_expired bigint;
  v_capped credits.reservations[];
begin
  begin
    with expired as (
      update credits.reservations r
      set status = 'expired', closed_at = p_now
      where r.user_id = any (p_user_ids) and r.status = 'open' and r.expires_at <= p_now
      returning r.*
    ), freed as (
      update credits.balances b
      set held = b.held - e.amount, updated_at = p_now
      from (select x.user_id, sum(x.amount) as amount from expired x group by x.user_id) e
      where b.user_id = e.user_id
    )
    select count(*), array_agg(row(x.*)::credits.reservations) filter (where x.service_key_id is not null)
    into v_expired, v_capped
    from expired x;
    perform credits.settle(u.user_id, p_now) from unnest(p_user_ids) u (user_id);
    perform credits.free_caps(v_capped);
    return v_expired;
  exception when others then
    if credits.is_passing_trouble(sqlstate) then
      raise;
    end if;
    if v_middle = 0 then
      raise warning 'the holds of % were not set free: % (%)', p_user_ids[1], sqlerrm, sqlstate;
      return 0;
    end if;
  end;
  -- Undone because of somebody among them: halve until who is broken is alone.
  return credits.expire_holds_of(p_user_ids[:v_middle], p_now)
    + credits.expire_holds_of(p_user_ids[v_middle + 1:], p_now);
end
$$;

comment on function credits.expire_holds_of(text[], timestamptz) is
  'Sets the holds past their expiry of these users free; answers how many. Whoever is broken is passed with a warning. The caller holds the balances'' locks. Internal to credits.expire_reservations.';
--! EndIncluded credits/expire_holds_of.sql
--! Included credits/expire_reservations.sql
create or replace function credits.expire_reservations(p_now timestamptz default now(), p_limit integer default 1000)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_due text[];
  v_user_ids text[];
  -- In use by somebody, or broken: this call does without them.
  v_passed text[] := '{}';
  v_expired bigint := 0;
begin
  if p_limit is null or p_limit not between 1 and 10000 then
    perform credits.invalid('limit', 'must be a whole number from 1 to 10000');
  end if;

  -- Until something was set free: however many are passed, they keep nobody behind them waiting.
  while v_expired = 0 loop
    v_due := array(
      select r.user_id
      from credits.reservations r
      where r.status = 'open' and r.expires_at <= p_now and r.user_id <> all (v_passed)
      order by r.expires_at
      limit p_limit
    );
    exit when cardinality(v_due) = 0;
    v_passed := v_passed || v_due;
    -- Balances first, in order. One that somebody is using is left for the next run.
    v_user_ids := array(
      select b.user_id
      from credits.balances b
      where b.user_id = any (v_due)
      order by b.user_id
      for no key update skip locked
    );
    v_expired := credits.expire_holds_of(v_user_ids, p_now);
  end loop;
  return jsonb_build_object('expired', v_expired);
end
$$;

comment on function credits.expire_reservations(timestamptz, integer) is
  'Sets holds past their expiry free: those of the users of the p_limit (1 to 10,000) oldest, skipping users somebody has locked, and whoever is broken (a warning says who). Answers { expired }, their number; call again until it is 0. CR001 limit. For mana_service and mana_ops.';
--! EndIncluded credits/expire_reservations.sql
--! Included gifts/expire.sql
create or replace function gifts.expire(
  p_now timestamptz default now(), p_limit integer default 500, p_caller text default session_user
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_ids uuid[];
  v_passed uuid[] := '{}';
  v_user_ids text[];
  v_gift gifts.gift_codes;
  v_expired bigint := 0;
  v_total_credits bigint := 0;
  v_failed bigint := 0;
begin
  if p_limit is null or p_limit not between 1 and 10000 then
    perform credits.invalid('limit', 'must be a whole number from 1 to 10000');
  end if;
  -- Until something was returned: however many are in use or broken, they keep none behind them waiting.
  while v_expired = 0 loop
    v_ids := array(
      select o.id
      from gifts.gift_codes o
      where o.status = 'active' and o.expires_at <= p_now and o.id <> all (v_passed)
      order by o.expires_at
      limit p_limit
    );
    exit when cardinality(v_ids) = 0;
    v_passed := v_passed || v_ids;
    -- Balances first, in order, then their gifts. What somebody is using is left for the next run.
    select array_agg(locked.user_id)
    into v_user_ids
    from (
      select b.user_id
      from credits.balances b
      where b.user_id in (select g.creator_id from gifts.gift_codes g where g.id = any (v_ids))
      order by b.user_id
      for no key update skip locked
    ) locked;

    for v_gift in
      select *
      from gifts.gift_codes g
      where g.id = any (v_ids) and g.creator_id = any (v_user_ids) and g.status = 'active'
      order by g.id
      for no key update skip locked
    loop
      begin
        perform gifts.give_back(v_gift, 'expired', p_caller, p_now);
        v_expired := v_expired + 1;
        v_total_credits := v_total_credits + v_gift.total_credits;
      exception when others then
        -- Not the gift's fault: the next run tries again.
        if credits.is_passing_trouble(sqlstate) then
          raise;
        end if;
        raise warning 'gift % was not returned: % (%)', v_gift.id, sqlerrm, sqlstate;
        v_failed := v_failed + 1;
      end;
    end loop;
  end loop;
  return jsonb_build_object('expired', v_expired, 'totalCredits', v_total_credits, 'failed', v_failed);
end
$$;

comment on function gifts.expire(timestamptz, integer, text) is
  'Returns the credits of gifts past their expiry to who gave them: the p_limit (1 to 10,000) oldest, skipping what somebody has locked, each on its own. Answers { expired, totalCredits, failed }, numbers of this run; call again until expired is 0. CR001 limit. For mana_service and mana_ops.';
--! EndIncluded gifts/expire.sql
--! Included sync/charge_due.sql
create or replace function sync.charge_due(
  p_now timestamptz default now(), p_limit integer default 1000, p_caller text default session_user
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_ids text[];
  v_due text[];
  -- Due, and their balances in use: this call does without them.
  v_busy text[] := '{}';
  v_pass record;
  v_charged bigint := 0;
  v_paused bigint := 0;
  v_errors bigint := 0;
begin
  if p_limit is null or p_limit not between 1 and 10000 then
    perform credits.invalid('limit', 'must be a whole number from 1 to 10000');
  end if;

  -- A pass charges one period a user, the longest due first; whoever owes several is due again in the next one.
  while v_charged + v_paused + v_errors < p_limit loop
    -- Nothing waits here, so no order of locks can make a circle: what another run has, it charges, and whose balance
    -- is in use is still due at the next run. The subscription's lock shares the queue out among runs at the same
    -- time; the balance's lock is what guards balance and subscription both.
    v_due := array(
      select s.user_id
      from credits.sync_subscriptions s
      where s.next_charge_at <= p_now
        and not exists (
          select from credits.sync_charge_errors e where e.user_id = s.user_id and e.next_attempt_at > p_now
        )
        and s.user_id <> all (v_busy)
      order by s.next_charge_at
      limit p_limit - v_charged - v_paused - v_errors
      for no key update of s skip locked
    );
    exit when cardinality(v_due) = 0;
    v_user_ids := array(
      select b.user_id from credits.balances b where b.user_id = any (v_due) for no key update skip locked
    );
    if cardinality(v_user_ids) < cardinality(v_due) then
      v_busy := v_busy || array(select unnest(v_due) except select unnest(v_user_ids));
    end if;
    continue when cardinality(v_user_ids) = 0;

    select * into v_pass from sync.charge_users(v_user_ids, p_caller, p_now);
    v_charged := v_charged + v_pass.o_charged;
    v_paused := v_paused + v_pass.o_paused;
    v_errors := v_errors + v_pass.o_errors;
    exit when v_pass.o_charged + v_pass.o_paused + v_pass.o_errors = 0;
  end loop;

  if v_charged + v_paused + v_errors < p_limit then
    begin
      perform sync.warn_at_risk(p_now, p_limit);
    exception when others then
      -- What has been charged stays charged.
      if credits.is_passing_trouble(sqlstate) then
        raise;
      end if;
      raise warning 'sync.warn_at_risk failed (%): %', sqlstate, sqlerrm;
    end;
  end if;
  return jsonb_build_object(
    'charged', v_charged, 'paused', v_paused, 'errors', v_errors, 'total', v_charged + v_paused + v_errors
  );
end
$$;

comment on function sync.charge_due(timestamptz, integer, text) is
  'Charges Cloud Sync that is due, at most p_limit (1 to 10,000) periods in this transaction, each elapsed period once, the longest due first; pauses where the spendable credits don''t suffice; records and passes what is broken (tried again later, see ops.sync_errors()); when nothing is left, warns whose charge within three days can''t be met. Skips who is locked by somebody else. Safe to run at any time and several at once. Answers { charged, paused, errors, total }, numbers of periods; call again until total is below p_limit. CR001 limit. For mana_service and mana_ops.';
--! EndIncluded sync/charge_due.sql
--! Included stripe/apply_event.sql
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
--! EndIncluded stripe/apply_event.sql
--! Included stripe/events_until.sql
create or replace function stripe.events_until(
  p_livemode boolean, p_until timestamptz default null, p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_until timestamptz;
begin
  -- From the start of the books' first purchase on, but Stripe lists no more than 30 days.
  insert into credits.stripe_watermarks as w (livemode, events_until)
  values (
    p_livemode,
    greatest(
      p_now - interval '29 days',
      coalesce(
        -- All purchases are looked through the first time only.
        (select s.events_until from credits.stripe_watermarks s where s.livemode = p_livemode),
        (select min(p.created_at) from credits.purchases p where p.livemode = p_livemode),
        p_now
      )
    )
  )
  on conflict (livemode) do update
  set events_until = greatest(
    w.events_until,
    -- Not past our own clock: theirs may be ahead, and what happens until then would be passed over.
    case when p_until is not null then least(p_until, p_now) end,
    p_now - interval '29 days'
  )
  returning w.events_until into v_until;
  return jsonb_build_object('until', credits.iso8601(v_until));
end
$$;

comment on function stripe.events_until(boolean, timestamptz, timestamptz) is
  'Up to when Stripe''s list of events was compared with what was delivered here; p_until moves it on, never back nor past p_now. Answers { until }, at most 29 days ago, since Stripe keeps 30. For mana_service and mana_ops.';
--! EndIncluded stripe/events_until.sql
--! Included ops/park_events.sql
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
--! EndIncluded ops/park_events.sql

update credits.stripe_events
set payload = payload #- '{data,object,payment_intent,client_secret}'
where jsonb_typeof(payload #> '{data,object,payment_intent}') = 'object';

reset role;
