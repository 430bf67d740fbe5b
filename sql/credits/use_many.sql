create or replace function credits.use_many(
  p_items jsonb, p_caller text default session_user, p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_locked text[];
  v_item jsonb;
  v_request credits.use_request;
  v_balance credits.balances;
  v_answer jsonb;
  v_amount bigint;
  v_results jsonb[] := '{}';
  v_state text;
  v_message text;
  v_detail text;
begin
  -- case, since or may look at the length of what isn't an array
  if (case when jsonb_typeof(p_items) = 'array' then jsonb_array_length(p_items) else 0 end) not between 1 and 1000 then
    perform credits.invalid('items', 'must be an array of 1 to 1000 debits');
  end if;

  -- Every balance first, in order: two batches never wait for each other in a circle.
  select array_agg(l.user_id)
  into v_locked
  from (
    select b.user_id
    from credits.balances b
    where b.user_id in (select i.value ->> 'userId' from jsonb_array_elements(p_items) i)
    order by b.user_id
    for no key update
  ) l;

  for v_item in select i.value from jsonb_array_elements(p_items) with ordinality i order by i.ordinality loop
    begin
      v_request := credits.use_request_from_json(v_item, p_caller);
      -- An account opened since then isn't locked: this batch finds nothing in it.
      select * into v_balance
      from credits.balances b
      where b.user_id = v_request.user_id and b.user_id = any (v_locked);
      select d.o_answer, d.o_amount into v_answer, v_amount from credits.decide_use(v_balance, v_request) d;
    exception when others then
      -- Nothing was written in this block, so the item is refused alone. What isn't ours to judge ends the call.
      get stacked diagnostics v_state = returned_sqlstate, v_message = message_text, v_detail = pg_exception_detail;
      if v_state !~ '^CR' then
        raise;
      end if;
      v_results := v_results || jsonb_build_object(
        'ok', false,
        'error', jsonb_build_object('sqlstate', v_state, 'message', v_message, 'detail', v_detail::jsonb)
      );
      continue;
    end;
    v_answer := coalesce(v_answer, credits.write_use(v_balance, v_request, v_amount, p_now));
    v_results := v_results || (jsonb_build_object('ok', true) || v_answer);
  end loop;

  return jsonb_build_object('results', to_jsonb(v_results));
end
$$;

comment on function credits.use_many(jsonb, text, timestamptz) is
  'credits.use for 1 to 1000 items [{ userId, amount, appId, description, idempotencyKey?, metadata?, operation?, quantity? }] in one transaction. Answers { results } in the order asked, each { ok: true, transaction, newBalance } or { ok: false, error: { sqlstate, message, detail } }; each item stands alone. CR001 when there is no such array. For mana_service and mana_ops.';
