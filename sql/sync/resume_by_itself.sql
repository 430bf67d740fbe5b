create or replace function sync.resume_by_itself(p_user_id text, p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_subscription credits.sync_subscriptions;
  v_balance credits.balances;
  v_price credits.sync_prices;
begin
  select * into v_subscription
  from credits.sync_subscriptions s
  where s.user_id = p_user_id and s.status = 'paused' and s.auto_resume and s.paused_by is null and not s.gifted;
  if not found then
    return;
  end if;
  v_price := sync.price(v_subscription.interval);
  select * into strict v_balance from credits.balances b where b.user_id = p_user_id;
  if v_balance.balance - v_balance.held < v_price.credits then
    return;
  end if;

  begin
    perform sync.start(
      v_balance, v_subscription, v_subscription.interval, true,
      'sync.resumed', '{"by": "autoResume"}', 'autoResume', p_now
    );
  exception when others then
    -- A broken subscription must not turn away the credits that came in.
    if credits.is_passing_trouble(sqlstate) then
      raise;
    end if;
    perform sync.record_error(p_user_id, sqlstate, sqlerrm, p_now);
  end;
end
$$;

comment on function sync.resume_by_itself(text, timestamptz) is
  'Resumes sync that paused for want of credits, if its owner chose autoResume and the credits are there now: as sync.activate would. The caller holds the balance''s lock. Internal.';
