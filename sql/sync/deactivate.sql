create or replace function sync.deactivate(p_user_id text, p_now timestamptz default now())
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_subscription credits.sync_subscriptions;
begin
  perform credits.check_text('userId', p_user_id, 128);
  perform from credits.balances b where b.user_id = p_user_id for no key update;
  v_subscription := sync.subscription(p_user_id);
  perform sync.check_not_gifted(v_subscription);
  perform sync.check_not_inactive(v_subscription);

  update credits.sync_subscriptions s
  set
    status = 'inactive',
    next_charge_at = null,
    paused_at = null,
    paused_by = null,
    paused_why = null,
    updated_at = p_now
  where s.user_id = p_user_id
  returning * into v_subscription;
  delete from credits.sync_charge_errors e where e.user_id = p_user_id; -- nothing is to be charged any more
  perform credits.emit(
    p_user_id, 'sync.deactivated', jsonb_build_object('paidUntil', credits.iso8601(v_subscription.paid_until)), p_now
  );
  return jsonb_build_object('active', false, 'paidUntil', credits.iso8601(v_subscription.paid_until));
end
$$;

comment on function sync.deactivate(text, timestamptz) is
  'Ends Cloud Sync, active or paused: no further charge, and the time paid for is remembered. Answers { active: false, paidUntil }; sync.activate before paidUntil costs nothing. CR001 no user id, CR102 not active, CR103 it is a gift. For mana_service and mana_ops.';
