create or replace function stripe.retry_events(p_now timestamptz default now(), p_limit integer default 100)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_due credits.stripe_events[];
  v_event credits.stripe_events;
  v_purchase_ids uuid[];
  v_applied integer := 0;
  v_kept integer := 0;
begin
  if p_limit is null or p_limit not between 1 and 1000 then
    perform credits.invalid('limit', 'must be a whole number from 1 to 1000');
  end if;
  select coalesce(array_agg(due order by due.created, due.id), '{}')
  into v_due
  from (
    select *
    from credits.stripe_events e
    where e.next_attempt_at <= p_now
    order by e.next_attempt_at
    limit p_limit
    for no key update skip locked
  ) due;
  v_purchase_ids := array(select stripe.find_purchase(e.payload #> '{data,object}') from unnest(v_due) e);
  v_purchase_ids := array_remove(v_purchase_ids, null);
  -- Every balance first, in order.
  perform
  from credits.balances b
  where b.user_id in (select p.user_id from credits.purchases p where p.id = any (v_purchase_ids))
  order by b.user_id
  for no key update;

  foreach v_event in array v_due loop
    -- Another one of this run may have brought it along.
    select * into strict v_event from credits.stripe_events e where e.id = v_event.id;
    if v_event.outcome = 'kept' then
      v_event := stripe.apply_stored_event(v_event, p_now, v_purchase_ids);
    end if;
    if v_event.outcome = 'kept' then
      v_kept := v_kept + 1;
    else
      v_applied := v_applied + 1;
    end if;
  end loop;
  return jsonb_build_object('applied', v_applied, 'kept', v_kept);
end
$$;

comment on function stripe.retry_events(timestamptz, integer) is
  'Tries the kept events again whose time has come, p_limit (1 to 1,000) at most, skipping those somebody has at hand. Answers { applied, kept }, their numbers. CR001 limit. For mana_service and mana_ops.';
