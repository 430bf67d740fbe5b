create or replace function ops.resume_sync(p_user_id text, p_who text, p_why text, p_now timestamptz default now())
returns credits.sync_subscriptions
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_balance credits.balances;
  v_subscription credits.sync_subscriptions;
  v_started record;
begin
  perform ops.check_who_and_why(p_who, p_why);
  select * into v_balance from credits.balances b where b.user_id = p_user_id for no key update;
  v_subscription := sync.subscription(p_user_id);
  perform sync.check_not_gifted(v_subscription);
  perform sync.check_not_active(v_subscription);
  perform sync.check_not_inactive(v_subscription);
  select * into v_started
  from sync.start(
    v_balance,
    v_subscription,
    v_subscription.interval,
    v_subscription.auto_resume,
    'sync.resumed',
    jsonb_build_object('by', p_who, 'why', p_why),
    session_user,
    p_now
  );
  return v_started.o_subscription;
end
$$;

comment on function ops.resume_sync(text, text, text, timestamptz) is
  'Resumes a user''s paused Cloud Sync by hand, signed, as its owner would: free inside paid time, else a new period from now is charged. Returns the subscription. CR001 invalid argument, CR002 not enough credits, CR101 not paused, CR102 not active, CR103 it is a gift. For mana_ops.';
