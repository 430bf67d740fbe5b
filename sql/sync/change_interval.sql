create or replace function sync.change_interval(
  p_user_id text,
  p_interval text,
  p_auto_resume boolean default null,
  p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_price credits.sync_prices;
  v_subscription credits.sync_subscriptions;
begin
  perform credits.check_text('userId', p_user_id, 128);
  v_price := sync.price(p_interval);
  perform from credits.balances b where b.user_id = p_user_id for no key update;
  v_subscription := sync.subscription(p_user_id);
  perform sync.check_not_gifted(v_subscription);
  perform sync.check_not_inactive(v_subscription);

  update credits.sync_subscriptions s
  set interval = p_interval, auto_resume = coalesce(p_auto_resume, s.auto_resume), updated_at = p_now
  where s.user_id = p_user_id
  returning * into v_subscription;
  return jsonb_build_object(
    'interval', v_subscription.interval,
    'amountCharged', v_price.credits,
    'effectiveAt', credits.iso8601(v_subscription.next_charge_at),
    'autoResume', v_subscription.auto_resume
  );
end
$$;

comment on function sync.change_interval(text, text, boolean, timestamptz) is
  'Another interval and its price from the next charge on; p_auto_resume too, if given. Answers { interval, amountCharged (credits, at effectiveAt and not before), effectiveAt (the next charge; null while paused: whenever sync goes on), autoResume }. CR001 invalid argument, CR102 not active, CR103 it is a gift. For mana_service and mana_ops.';
