--! Previous: sha1:769a48fca63781652bcc810b0a9259bba3c405e5
--! Hash: sha1:3a59ae68604ed6cba778c226d95643a59c27e4a6
--! Message: debits-decided-together

-- Debits that travel together, decided in one query; and what events, warnings, Stripe's ids and ops.verify() let pass.
set local role mana_owner;

--! Included credits/sound_use_request.sql
create or replace function credits.sound_use_request(p_item jsonb, p_caller text)
returns credits.use_request
language sql
stable
return case
  when jsonb_typeof(p_item -> 'userId') = 'string'
    and jsonb_typeof(p_item -> 'appId') = 'string'
    and jsonb_typeof(p_item -> 'description') = 'string'
    and jsonb_typeof(p_item -> 'amount') = 'number'
    and coalesce(jsonb_typeof(p_item -> 'idempotencyKey'), 'string') = 'string'
    and (p_caller is not null or jsonb_typeof(p_item -> 'caller') = 'string')
    and not p_item ?| array['metadata', 'operation', 'quantity', 'serviceKeyId']
    and char_length(p_item ->> 'userId') between 1 and 128
    and char_length(p_item ->> 'appId') between 1 and 64
    and char_length(p_item ->> 'description') between 1 and 500
    and char_length(coalesce(p_item ->> 'idempotencyKey', '-')) between 1 and 255
    and (p_item -> 'amount')::numeric between 1 and 1000000000
    and (p_item -> 'amount')::numeric % 1 = 0
  then row(
    p_item ->> 'userId',
    (p_item -> 'amount')::bigint,
    p_item ->> 'appId',
    p_item ->> 'description',
    p_item ->> 'idempotencyKey',
    null,
    null,
    null,
    coalesce(p_caller, p_item ->> 'caller')
  )::credits.use_request
end;

comment on function credits.sound_use_request(jsonb, text) is
  'One item of credits.use_many as a request if it is an ordinary one: an amount, no metadata, no cap, nothing wrong with it. Null for any other: credits.use_request_from_json reads those, and says what is wrong. Internal.';
--! EndIncluded credits/sound_use_request.sql
--! Included credits/use_posting.sql
create or replace function credits.use_posting(p_request credits.use_request, p_amount bigint)
returns credits.posting
language sql
stable
return row(
  'usage',
  -p_amount,
  'revenue:' || p_request.app_id,
  p_request.app_id,
  p_request.description,
  case
    when p_request.operation is null then p_request.metadata
    else coalesce(p_request.metadata, '{}')
      || jsonb_build_object('operation', p_request.operation, 'quantity', coalesce(p_request.quantity, 1))
  end,
  p_request.idempotency_key,
  null,
  p_request.caller,
  null
)::credits.posting;

comment on function credits.use_posting(credits.use_request, bigint) is
  'The ledger row of a debit. Internal.';
--! EndIncluded credits/use_posting.sql
--! Included credits/write_uses.sql
create or replace function credits.write_uses(p_uses credits.allowed_use[], p_now timestamptz)
returns jsonb[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_postings credits.user_posting[];
  v_transactions credits.transactions[];
  v_answers jsonb[];
begin
  if cardinality(p_uses) = 0 then
    return '{}';
  end if;
  select array_agg(row((u.request).user_id, credits.use_posting(u.request, u.amount))::credits.user_posting)
  into v_postings
  from unnest(p_uses) u;
  v_transactions := credits.post_many(v_postings, p_now);

  with answered as (
    select u.place, u.request, credits.use_answer(t, u.balance, u.amount) as answer
    from unnest(p_uses) u
    join unnest(v_transactions) t on t.user_id = (u.request).user_id
  ),
  remembered as (
    insert into credits.idempotency_keys (user_id, caller, key, request_hash, answer, created_at)
    select
      (a.request).user_id,
      (a.request).caller,
      (a.request).idempotency_key,
      credits.request_hash(credits.use_request_json(a.request)),
      a.answer,
      p_now
    from answered a
    where (a.request).idempotency_key is not null
  )
  select array_agg(a.answer order by a.place) into v_answers from answered a;
  return v_answers;
end
$$;

comment on function credits.write_uses(credits.allowed_use[], timestamptz) is
  'credits.write_use for many users at once, one debit a user: the same rows, in one statement a table. Answers in the order of their places. The caller holds the locks. Internal.';
--! EndIncluded credits/write_uses.sql
--! Included credits/use_many.sql
create or replace function credits.use_many(
  p_items jsonb,
  p_caller text default session_user,
  p_is_capped boolean default false,
  p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
declare
  v_user_ids text[];
  v_locked text[];
  v_item record;
  v_request credits.use_request;
  v_balance credits.balances;
  v_decision record;
  -- Allowed and not written yet: one debit a user.
  v_allowed credits.allowed_use[] := '{}';
  v_allowed_user_ids text[] := '{}';
  v_caps credits.cap_count[];
  v_results jsonb[];
  v_answers jsonb[];
  v_state text;
  v_message text;
  v_detail text;
begin
  -- case, since or may look at the length of what isn't an array
  if (case when jsonb_typeof(p_items) = 'array' then jsonb_array_length(p_items) else 0 end) not between 1 and 1000 then
    perform credits.invalid('items', 'must be an array of 1 to 1000 debits');
  end if;
  v_results := array_fill(null::jsonb, array[jsonb_array_length(p_items)]);

  if p_caller is null then
    -- A batch of strangers waits no longer than this for a balance that one of them needs: it is given up whole
    -- (55P03), and each goes alone.
    perform set_config('lock_timeout', '50ms', true);
  end if;

  -- Every balance first, in order: two batches never wait for each other in a circle. The ids as an array: whatever
  -- the plan thinks of their number, it looks them up.
  select array_agg(i.value ->> 'userId') into v_user_ids from jsonb_array_elements(p_items) i;
  select array_agg(l.user_id)
  into v_locked
  from (
    select b.user_id from credits.balances b where b.user_id = any (v_user_ids) order by b.user_id for no key update
  ) l;
  if p_is_capped then
    v_caps := credits.lock_caps(
      array(select (i.value ->> 'serviceKeyId')::uuid from jsonb_array_elements(p_items) i), p_now
    );
  end if;

  -- Most items are their user's only one, have a new key and credits enough: one query decides all of those. The row
  -- after the last item has no place: it writes what is left.
  for v_item in
    select
      i.value,
      i.place,
      i.user_id,
      case
        when i.is_first and (i.balance).balance - (i.balance).held >= (i.request).amount and i.is_used is null
        then row(i.place, i.request, (i.request).amount, i.balance)::credits.allowed_use
      end as allowed
    from (
      select
        r.*,
        row_number() over (partition by r.user_id order by r.place) = 1 as is_first,
        (
          select b
          from credits.balances b
          where b.user_id = (r.request).user_id and array_position(v_locked, b.user_id) > 0
        ) as balance,
        (
          select true
          from credits.idempotency_keys k
          where k.user_id = (r.request).user_id
            and k.caller = (r.request).caller
            and k.key = (r.request).idempotency_key
        ) as is_used
      from (
        select
          e.value,
          e.place,
          e.value ->> 'userId' as user_id,
          credits.sound_use_request(e.value, p_caller) as request
        from jsonb_array_elements(p_items) with ordinality e (value, place)
        offset 0 -- made once, wherever it is looked at
      ) r
      offset 0
    ) i
    union all
    select null, null, null, null
    order by place nulls last
  loop
    -- A user's next debit is decided upon the balance that the one before has left.
    if v_item.place is null or v_item.user_id = any (v_allowed_user_ids) then
      v_answers := case cardinality(v_allowed)
        when 1 then array[credits.write_use(
          (v_allowed[1]).balance, (v_allowed[1]).request, (v_allowed[1]).amount, p_now
        )]
        else credits.write_uses(v_allowed, p_now)
      end;
      for v_n in 1..cardinality(v_allowed) loop
        v_results[(v_allowed[v_n]).place] := jsonb_build_object('ok', true) || v_answers[v_n];
      end loop;
      v_allowed := '{}';
      v_allowed_user_ids := '{}';
    end if;
    exit when v_item.place is null;

    if (v_item.allowed).place is not null then
      v_allowed := v_allowed || v_item.allowed;
      v_allowed_user_ids := v_allowed_user_ids || v_item.user_id;
      continue;
    end if;

    begin
      v_request := credits.use_request_from_json(v_item.value, p_caller);
      -- An account opened since then isn't locked: this batch finds nothing in it.
      select * into v_balance
      from credits.balances b
      where b.user_id = v_request.user_id and b.user_id = any (v_locked);
      v_decision := credits.decide_use(v_balance, v_request);
      if v_decision.o_answer is null then
        if p_is_capped then
          v_caps := credits.count_against_caps(v_caps, (v_item.value ->> 'serviceKeyId')::uuid, v_decision.o_amount);
        end if;
        v_allowed := v_allowed || row(v_item.place, v_request, v_decision.o_amount, v_balance)::credits.allowed_use;
        v_allowed_user_ids := v_allowed_user_ids || v_item.user_id;
      else
        v_results[v_item.place] := jsonb_build_object('ok', true) || v_decision.o_answer;
      end if;
    exception when others then
      -- Nothing was written in this block, so the item is refused alone. What isn't ours to judge ends the call.
      get stacked diagnostics v_state = returned_sqlstate, v_message = message_text, v_detail = pg_exception_detail;
      if v_state !~ '^CR' then
        raise;
      end if;
      v_results[v_item.place] := jsonb_build_object(
        'ok', false,
        'error', jsonb_build_object('sqlstate', v_state, 'message', v_message, 'detail', v_detail::jsonb)
      );
    end;
  end loop;
  if p_is_capped then
    perform credits.write_caps(v_caps);
  end if;

  return jsonb_build_object('results', to_jsonb(v_results));
end
$$;

comment on function credits.use_many(jsonb, text, boolean, timestamptz) is
  'credits.use for 1 to 1000 items [{ userId, amount, appId, description, idempotencyKey?, metadata?, operation?, quantity? }] in one transaction; where p_caller is null each item names its own in caller, and where p_is_capped an item may name in serviceKeyId the service key whose daily cap it counts against. Answers { results } in the order asked, each { ok: true, transaction, newBalance } or { ok: false, error: { sqlstate, message, detail } }; each item stands alone. CR001 when there is no such array. For mana_service and mana_ops.';
--! EndIncluded credits/use_many.sql
--! Included sync/warn_at_risk.sql
create or replace function sync.warn_at_risk(p_now timestamptz, p_limit integer)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_ids text[];
  v_data jsonb[];
begin
  -- Found without locks, then looked at again under them.
  v_user_ids := array(
    select s.user_id
    from credits.sync_subscriptions s
    join credits.sync_prices p on p.interval = s.interval
    join credits.balances b on b.user_id = s.user_id
    where s.next_charge_at > p_now
      and s.next_charge_at <= p_now + interval '3 days'
      and s.warned_for is distinct from s.next_charge_at
      and b.balance - b.held < p.credits
    order by s.next_charge_at
    limit p_limit
  );
  v_user_ids := array(
    select b.user_id from credits.balances b where b.user_id = any (v_user_ids) for no key update skip locked
  );

  with warned as (
    update credits.sync_subscriptions s
    set warned_for = s.next_charge_at, updated_at = p_now
    from credits.sync_prices p, credits.balances b
    where s.user_id = any (v_user_ids)
      and p.interval = s.interval
      and b.user_id = s.user_id
      and s.next_charge_at > p_now
      and s.warned_for is distinct from s.next_charge_at
      and b.balance - b.held < p.credits
    returning
      s.user_id,
      jsonb_build_object(
        'interval', s.interval,
        'required', p.credits,
        'available', b.balance - b.held,
        'nextChargeAt', credits.iso8601(s.next_charge_at)
      ) as data
  )
  select array_agg(w.user_id), array_agg(w.data) into v_user_ids, v_data from warned w;
  perform credits.emit_many(v_user_ids, 'sync.renewal_at_risk', v_data, p_now);
end
$$;

comment on function sync.warn_at_risk(timestamptz, integer) is
  'Emits sync.renewal_at_risk, once a period, for subscriptions whose charge within three days the spendable credits don''t meet: at most p_limit, the nearest first; who is locked by somebody else is left for the next time. Internal to sync.charge_due.';
--! EndIncluded sync/warn_at_risk.sql
--! Included events/delivered.sql
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
--! EndIncluded events/delivered.sql
--! Included stripe/attach_customer.sql
create or replace function stripe.attach_customer(p_user_id text, p_livemode boolean, p_customer_id text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_customer_id text;
begin
  if (p_customer_id ~ '^cus_[A-Za-z0-9_]{1,250}$') is not true then
    perform credits.invalid('customerId', 'must be a Stripe customer''s id: cus_ and 1 to 250 letters, digits or _');
  end if;
  perform credits.lock_balance(p_user_id);
  -- The first one stays.
  update credits.stripe_customers c
  set customer_id = p_customer_id, email = null
  where c.user_id = p_user_id and c.livemode = p_livemode and c.customer_id is null;
  select c.customer_id into v_customer_id
  from credits.stripe_customers c
  where c.user_id = p_user_id and c.livemode = p_livemode;
  if not found then
    perform credits.invalid('userId', 'has never begun a purchase');
  end if;
  return jsonb_build_object('customerId', v_customer_id);
end
$$;

comment on function stripe.attach_customer(text, boolean, text) is
  'Keeps which Stripe customer a user is, once. Answers { customerId }, the one to use: the first that was kept. CR001 invalid argument. For mana_service and mana_ops.';
--! EndIncluded stripe/attach_customer.sql
--! Included stripe/attach_payment.sql
create or replace function stripe.attach_payment(
  p_purchase_id uuid,
  p_payment_intent_id text default null,
  p_checkout_session_id text default null,
  p_checkout_url text default null,
  p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_before credits.purchases := stripe.lock_purchase(p_purchase_id);
  v_purchase credits.purchases := v_before;
begin
  if v_before.id is null then
    perform stripe.no_such_purchase(p_purchase_id);
  end if;
  if v_before.payment_intent_id <> p_payment_intent_id or v_before.checkout_session_id <> p_checkout_session_id then
    raise exception using
      errcode = 'CR305',
      message = 'The purchase has another payment already. Look at both with ops.payment(), and cancel one in Stripe.',
      detail = jsonb_build_object(
        'purchaseId', p_purchase_id,
        'paymentIntentId', v_before.payment_intent_id,
        'checkoutSessionId', v_before.checkout_session_id
      );
  end if;
  v_purchase.payment_intent_id := coalesce(v_before.payment_intent_id, p_payment_intent_id);
  v_purchase.checkout_session_id := coalesce(v_before.checkout_session_id, p_checkout_session_id);
  v_purchase.checkout_url := coalesce(v_before.checkout_url, p_checkout_url);
  if (v_purchase.checkout_session_id is null) <> (v_purchase.checkout_url is null) then
    perform credits.invalid('checkoutUrl', 'must be given with checkoutSessionId, and only with it');
  end if;
  if v_purchase.checkout_url is not null and v_purchase.success_url is null then
    perform credits.invalid('checkoutUrl', 'is for purchases begun with a successUrl');
  end if;
  v_purchase := stripe.settle_purchase(v_before, v_purchase, p_now);
  if v_before.payment_intent_id is null and p_payment_intent_id is not null then
    perform stripe.apply_waiting_events(p_payment_intent_id, p_now);
    v_purchase := stripe.lock_purchase(p_purchase_id);
  end if;
  return stripe.purchase_order(v_purchase);
end
$$;

comment on function stripe.attach_payment(uuid, text, text, text, timestamptz) is
  'Keeps which PaymentIntent or Checkout Session (with its URL) Stripe made for a purchase, and applies events of it that came sooner. Calling it again changes nothing. Answers the order as stripe.begin_purchase. CR001 invalid argument, CR303 no such purchase, CR305 it has another payment. For mana_service and mana_ops.';
--! EndIncluded stripe/attach_payment.sql
--! Included ops/verify_purchases.sql
create or replace function ops.verify_purchases()
returns table (invariant text, user_id text, detail text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  with refunds as (
    select
      r.user_id,
      r.purchase_id,
      sum(r.amount_euro_cents) as made,
      coalesce(sum(r.amount_euro_cents) filter (where r.failed), 0) as failed
    from credits.purchase_refunds r
    group by r.user_id, r.purchase_id
  ),
  disputes as (
    select
      d.user_id,
      d.purchase_id,
      sum(least(d.amount_euro_cents, greatest(0, d.withdrawn_euro_cents - d.reinstated_euro_cents))) as taken
    from credits.purchase_disputes d
    group by d.user_id, d.purchase_id
  ),
  ledger as (
    select t.user_id, coalesce(t.related_transaction_id, t.id) as transaction_id, sum(t.amount) as amount
    from credits.transactions t
    where t.counter_account = 'stripe'
    group by 1, 2
  ),
  debts as (
    select d.user_id, d.purchase_id, sum(d.amount) as amount
    from credits.debts d
    group by d.user_id, d.purchase_id
  ),
  checked as (
    select
      p.*,
      stripe.status(p) as expected_status,
      stripe.credits_to_keep(p) as expected_kept,
      greatest(0, greatest(p.charge_refunded_euro_cents, coalesce(r.made, 0)) - coalesce(r.failed, 0))
        as expected_refunded,
      coalesce(x.taken, 0) as expected_disputed,
      t.type as ledger_type,
      t.amount as ledger_credited,
      coalesce(l.amount, 0) as ledger_amount,
      coalesce(d.amount, 0) as debt
    from credits.purchases p
    left join refunds r on r.user_id = p.user_id and r.purchase_id = p.id
    left join disputes x on x.user_id = p.user_id and x.purchase_id = p.id
    left join credits.transactions t on t.user_id = p.user_id and t.id = p.transaction_id
    left join ledger l on l.user_id = p.user_id and l.transaction_id = p.transaction_id
    left join debts d on d.user_id = p.user_id and d.purchase_id = p.id
  )
  select
    'purchase_credit', c.user_id,
    format('purchase %s of %s credits: ledger row %s of %s', c.id, c.credits, c.ledger_type, c.ledger_credited)
  from checked c
  where c.paid_at is not null
    and (c.ledger_type is distinct from 'purchase' or c.ledger_credited is distinct from c.credits)
  union all
  -- Each payment credits once: no ledger row of a purchase that isn't exactly one purchase's.
  select 'purchase_once', t.user_id, format('ledger row %s credits %s purchases', t.id, count(p.id))
  from credits.transactions t
  left join credits.purchases p on p.user_id = t.user_id and p.transaction_id = t.id
  where t.type = 'purchase'
  group by t.user_id, t.id
  having count(p.id) <> 1
  union all
  -- Whatever else the ledger has of Stripe is of a purchase: taken back from it or given back to it.
  select
    'purchase_ledger', t.user_id,
    format('ledger row %s, %s of %s credits, is of no purchase', t.id, t.type, t.amount)
  from credits.transactions t
  left join credits.purchases p on p.user_id = t.user_id and p.transaction_id = t.related_transaction_id
  where t.counter_account = 'stripe' and t.type <> 'purchase' and p.id is null
  union all
  select
    'purchase_facts', c.user_id,
    format(
      'purchase %s: status %s, expected %s; refunded %s, expected %s; disputed %s, expected %s',
      c.id, c.status, c.expected_status, c.refunded_euro_cents, c.expected_refunded, c.disputed_euro_cents,
      c.expected_disputed
    )
  from checked c
  where c.status <> c.expected_status
    or c.refunded_euro_cents <> c.expected_refunded
    or c.disputed_euro_cents <> c.expected_disputed
  union all
  -- What the ledger gave less what is owed is what the rest of the payment is worth: never refunded beyond itself.
  select
    'purchase_kept', c.user_id,
    format(
      'purchase %s: %s credits to keep, %s kept, ledger %s, debt %s', c.id, c.expected_kept, c.credits_kept,
      c.ledger_amount, c.debt
    )
  from checked c
  where c.credits_kept <> c.expected_kept
    or c.credits_kept <> c.ledger_amount - c.debt
    or c.ledger_amount < 0
    or c.debt < 0
  union all
  select 'debt_sum', b.user_id, format('debt %s, debts add up to %s', b.debt, coalesce(d.amount, 0))
  from credits.balances b
  left join (select x.user_id, sum(x.amount) as amount from debts x group by x.user_id) d on d.user_id = b.user_id
  where b.debt <> coalesce(d.amount, 0)
  union all
  select 'debt_first', b.user_id, format('owes %s with %s spendable', b.debt, b.balance - b.held)
  from credits.balances b
  where b.debt > 0 and b.balance > b.held
  union all
  select 'debt_paid', d.user_id, format('debt row %s of %s: ledger %s of %s', d.id, d.amount, t.type, t.amount)
  from credits.debts d
  left join credits.transactions t on t.user_id = d.user_id and t.id = d.transaction_id
  where d.kind = 'paid' and (t.type is distinct from 'clawback' or t.amount is distinct from d.amount);
$$;

comment on function ops.verify_purchases() is
  'Invariant 5, the payments'' part: each paid purchase is credited exactly once, what the ledger has of it less what is owed is what the rest of its payment is worth, debts add up and come first. Part of ops.verify().';
--! EndIncluded ops/verify_purchases.sql

reset role;
