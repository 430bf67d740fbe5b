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
