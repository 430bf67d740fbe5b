create or replace function sync.activate(
  p_user_id text,
  p_interval text default 'monthly',
  p_auto_resume boolean default false,
  p_idempotency_key text default null,
  p_caller text default session_user,
  p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_request jsonb := jsonb_build_array('sync.activate', p_interval, p_auto_resume);
  v_balance credits.balances;
  v_subscription credits.sync_subscriptions;
  v_started record;
  v_answer jsonb;
begin
  perform credits.check_text('userId', p_user_id, 128);
  perform sync.price(p_interval);
  if p_auto_resume is null then
    perform credits.invalid('autoResume', 'must be true or false');
  end if;
  if p_idempotency_key is not null then
    perform credits.check_text('idempotencyKey', p_idempotency_key, 255);
  end if;

  -- Not made if it isn't there: a user without a balance can't pay.
  select * into v_balance from credits.balances b where b.user_id = p_user_id for no key update;
  v_answer := credits.remembered_answer(p_user_id, p_caller, p_idempotency_key, v_request);
  if v_answer is not null then
    return v_answer;
  end if;
  v_subscription := sync.subscription(p_user_id);
  perform sync.check_not_gifted(v_subscription);
  perform sync.check_not_active(v_subscription);

  select * into v_started
  from sync.start(
    v_balance,
    v_subscription,
    p_interval,
    p_auto_resume,
    case v_subscription.status when 'paused' then 'sync.resumed' else 'sync.activated' end,
    '{}',
    p_caller,
    p_now
  );
  v_subscription := v_started.o_subscription;

  v_answer := jsonb_build_object(
    'active', true,
    'interval', v_subscription.interval,
    'nextChargeAt', credits.iso8601(v_subscription.next_charge_at),
    'amountCharged', v_started.o_amount_charged,
    'autoResume', v_subscription.auto_resume
  );
  perform credits.remember_answer(p_user_id, p_caller, p_idempotency_key, v_request, v_answer, p_now);
  return v_answer;
end
$$;

comment on function sync.activate(text, text, boolean, text, text, timestamptz) is
  'Makes Cloud Sync active and charges the first period, from now on; nothing inside a period paid before, whose dates stay. The same resumes a paused subscription: a new period from now, nothing for the time paused. p_interval monthly, quarterly or yearly, from the next charge on where this one is free; p_auto_resume: go on by itself when credits arrive after they ran out. Answers { active, interval, nextChargeAt, amountCharged (credits), autoResume }, replayed: true when the key was seen before. CR001 invalid argument, CR002 not enough credits, CR003 key reused, CR101 active already, CR103 it is a gift. For mana_service and mana_ops.';
