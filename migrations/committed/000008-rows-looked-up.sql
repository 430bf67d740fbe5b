--! Previous: sha1:3a59ae68604ed6cba778c226d95643a59c27e4a6
--! Hash: sha1:4cd6a45e3dfd39b569933af0066c29b1ecea643c
--! Message: rows-looked-up

-- A session that began with empty tables looks rows up all the same; what ops.verify_purchases() promises, in full.
set local role mana_owner;

--! Included credits/use.sql
create or replace function credits.use(
  p_user_id text,
  p_amount bigint,
  p_app_id text,
  p_description text,
  p_idempotency_key text default null,
  p_metadata jsonb default null,
  p_operation text default null,
  p_quantity bigint default null,
  p_caller text default session_user,
  p_service_key_id uuid default null,
  p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off -- a plan from when the tables were small must do when they are large
as $$
declare
  v_request credits.use_request := row(
    p_user_id, p_amount, p_app_id, p_description, p_idempotency_key, p_metadata, p_operation, p_quantity, p_caller
  );
  v_balance credits.balances;
  v_decision record;
begin
  select * into v_balance from credits.balances b where b.user_id = p_user_id for no key update;
  v_decision := credits.decide_use(v_balance, v_request);
  if v_decision.o_answer is not null then
    return v_decision.o_answer;
  end if;
  if p_service_key_id is not null then
    perform credits.spend_cap(p_service_key_id, v_decision.o_amount, p_now);
  end if;
  return credits.write_use(v_balance, v_request, v_decision.o_amount, p_now);
end
$$;

comment on function credits.use(text, bigint, text, text, text, jsonb, text, bigint, text, uuid, timestamptz) is
  'Takes credits from a user for an app, or the price of an operation in place of an amount (then p_amount is null). Answers { transaction, newBalance: { balance, totalSpent } }, all in credits, balance being what can still be spent; replayed: true when the key was seen before. CR001 invalid argument, CR002 not enough credits, CR003 key reused, CR403 beyond the daily cap of the service key it comes through. For mana_service and mana_ops.';
--! EndIncluded credits/use.sql
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
set enable_seqscan = off -- a plan from when the tables were small must do when they are large
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
  'Invariant 5, the payments'' part: each paid purchase is credited exactly once, what the ledger has of it less what is owed is what the rest of its payment is worth, debts add up and come first, and a row of the ledger on Stripe''s account belongs to a purchase (purchase_ledger). Part of ops.verify().';
--! EndIncluded ops/verify_purchases.sql

reset role;
