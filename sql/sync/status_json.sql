create or replace function sync.status_json(p_subscription credits.sync_subscriptions)
returns jsonb
language sql
stable
return jsonb_build_object(
  'active', coalesce(p_subscription.status = 'active' or p_subscription.gifted, false),
  'interval', coalesce(p_subscription.interval, 'monthly'),
  'nextChargeAt', credits.iso8601(p_subscription.next_charge_at),
  'pausedAt', case when not p_subscription.gifted then credits.iso8601(p_subscription.paused_at) end,
  'paidUntil', credits.iso8601(p_subscription.paid_until),
  'gifted', coalesce(p_subscription.gifted, false),
  'price', (
    select p.credits
    from credits.sync_prices p
    where p.interval = coalesce(p_subscription.interval, 'monthly')
  ),
  'autoResume', coalesce(p_subscription.auto_resume, false)
);

comment on function sync.status_json(credits.sync_subscriptions) is
  'A subscription as its owner sees it; nulls read as a user who never had sync. Internal.';
