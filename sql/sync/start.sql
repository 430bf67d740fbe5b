create or replace function sync.start(
  p_balance credits.balances,
  p_subscription credits.sync_subscriptions,
  p_interval text,
  p_auto_resume boolean,
  p_event text,
  p_facts jsonb,
  p_caller text,
  p_now timestamptz,
  out o_subscription credits.sync_subscriptions,
  out o_amount_charged bigint
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_price credits.sync_prices := sync.price(p_interval);
  v_is_paid boolean := coalesce(p_subscription.paid_until > p_now, false);
  v_anchor timestamptz := p_subscription.anchor;
  v_months_paid integer := p_subscription.months_paid;
  v_next_charge_at timestamptz;
begin
  if v_is_paid then
    o_amount_charged := 0;
  else
    perform credits.check_spendable(p_balance, v_price.credits);
    o_amount_charged := v_price.credits;
    v_anchor := date_trunc('milliseconds', p_now);
    v_months_paid := v_price.months;
  end if;
  v_next_charge_at := sync.period_start(v_anchor, v_months_paid);

  insert into credits.sync_subscriptions as s (
    user_id, status, interval, auto_resume, anchor, months_paid, next_charge_at, paid_until, created_at, updated_at
  )
  values (
    p_balance.user_id, 'active', v_price.interval, p_auto_resume, v_anchor, v_months_paid, v_next_charge_at,
    v_next_charge_at, p_now, p_now
  )
  on conflict (user_id) do update
  set
    status = 'active',
    interval = excluded.interval,
    auto_resume = excluded.auto_resume,
    anchor = excluded.anchor,
    months_paid = excluded.months_paid,
    next_charge_at = excluded.next_charge_at,
    paid_until = case when v_is_paid then s.paid_until else excluded.paid_until end,
    paused_at = null,
    paused_by = null,
    paused_why = null,
    updated_at = p_now
  returning * into o_subscription;

  perform credits.emit(
    p_balance.user_id,
    p_event,
    p_facts || jsonb_build_object(
      'interval', v_price.interval,
      'amountCharged', o_amount_charged,
      'nextChargeAt', credits.iso8601(v_next_charge_at)
    ),
    p_now
  );
  if not v_is_paid then
    perform sync.post_charges(
      array[row(
        p_balance.user_id, v_price.interval, v_price.months, v_price.credits, v_anchor, v_next_charge_at, null
      )::credits.sync_period],
      p_caller,
      p_now
    );
  end if;
end
$$;

comment on function sync.start(
  credits.balances, credits.sync_subscriptions, text, boolean, text, jsonb, text, timestamptz
) is
  'Makes sync active from now on: free inside a paid period, whose dates stay; else a new anchor, and the first period charged. CR001 no such interval, CR002 not enough credits. The caller holds the balance''s lock, passes the balance and the subscription (nulls if there is none) as they stand, and has checked the state. Internal.';
