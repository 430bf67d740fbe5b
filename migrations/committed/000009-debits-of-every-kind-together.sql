--! Previous: sha1:4cd6a45e3dfd39b569933af0066c29b1ecea643c
--! Hash: sha1:63741cb7f6c9f6a512666633da34eac8563362d6
--! Message: debits-of-every-kind-together

-- Debits with metadata, and those of the price list, are decided together with the others.
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
    and coalesce(jsonb_typeof(p_item -> 'idempotencyKey'), 'string') = 'string'
    and coalesce(jsonb_typeof(p_item -> 'metadata'), 'object') = 'object'
    and (p_caller is not null or jsonb_typeof(p_item -> 'caller') = 'string')
    and not p_item ? 'serviceKeyId'
    and char_length(p_item ->> 'userId') between 1 and 128
    and char_length(p_item ->> 'appId') between 1 and 64
    and char_length(p_item ->> 'description') between 1 and 500
    and char_length(coalesce(p_item ->> 'idempotencyKey', '-')) between 1 and 255
    and octet_length(coalesce(p_item ->> 'metadata', '{}')) <= 8192
    and case jsonb_typeof(p_item -> 'amount')
      when 'number' then
        not p_item ?| array['operation', 'quantity']
        and (p_item -> 'amount')::numeric between 1 and 1000000000
        and (p_item -> 'amount')::numeric % 1 = 0
      else
        coalesce(jsonb_typeof(p_item -> 'amount'), 'null') = 'null'
        and jsonb_typeof(p_item -> 'operation') = 'string'
        and coalesce(jsonb_typeof(p_item -> 'quantity'), 'number') = 'number'
        and coalesce((p_item -> 'quantity')::numeric, 1) between 1 and 1000000
        and coalesce((p_item -> 'quantity')::numeric, 1) % 1 = 0
    end
  then row(
    p_item ->> 'userId',
    (p_item -> 'amount')::bigint,
    p_item ->> 'appId',
    p_item ->> 'description',
    p_item ->> 'idempotencyKey',
    p_item -> 'metadata',
    p_item ->> 'operation',
    (p_item -> 'quantity')::bigint,
    coalesce(p_caller, p_item ->> 'caller')
  )::credits.use_request
end;

comment on function credits.sound_use_request(jsonb, text) is
  'One item of credits.use_many as a request if it is an ordinary one: no cap, and nothing wrong with it that shows without the price list. Null for any other: credits.use_request_from_json reads those, and says what is wrong. Internal.';
--! EndIncluded credits/sound_use_request.sql
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
        when i.is_first
          and (i.balance).balance - (i.balance).held >= i.amount
          and i.is_used is null
        then row(i.place, i.request, i.amount, i.balance)::credits.allowed_use
      end as allowed
    from (
      select
        r.*,
        row_number() over (partition by r.user_id order by r.place) = 1 as is_first,
        case
          when (r.request).operation is null then (r.request).amount
          else (
            select o.credits * coalesce((r.request).quantity, 1)
            from credits.operations o
            where o.operation = (r.request).operation
              and o.credits * coalesce((r.request).quantity, 1) <= 1000000000
          )
        end as amount,
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

reset role;
