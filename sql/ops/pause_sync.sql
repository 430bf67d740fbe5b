create or replace function ops.pause_sync(p_user_id text, p_who text, p_why text, p_now timestamptz default now())
returns credits.sync_subscriptions
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_subscription credits.sync_subscriptions;
begin
  perform ops.check_who_and_why(p_who, p_why);
  perform from credits.balances b where b.user_id = p_user_id for no key update;
  v_subscription := sync.subscription(p_user_id);
  perform sync.check_not_gifted(v_subscription);
  perform sync.check_not_inactive(v_subscription);

  update credits.sync_subscriptions s
  set
    status = 'paused',
    next_charge_at = null,
    paused_at = coalesce(s.paused_at, p_now),
    paused_by = p_who,
    paused_why = p_why,
    updated_at = p_now
  where s.user_id = p_user_id
  returning * into v_subscription;
  perform credits.emit(
    p_user_id, 'sync.paused', jsonb_build_object('reason', 'by_hand', 'by', p_who, 'why', p_why), p_now
  );
  return v_subscription;
end
$$;

comment on function ops.pause_sync(text, text, text, timestamptz) is
  'Pauses a user''s Cloud Sync by hand, signed: no charge, no resuming by itself, until ops.resume_sync or until its owner activates it. Works on one that paused for want of credits too. Returns the subscription. CR001 invalid argument, CR102 not active, CR103 it is a gift. For mana_ops.';
