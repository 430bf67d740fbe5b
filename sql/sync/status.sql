create or replace function sync.status(p_user_id text)
returns jsonb
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_subscription credits.sync_subscriptions;
begin
  perform credits.check_text('userId', p_user_id, 128);
  select * into v_subscription from credits.sync_subscriptions s where s.user_id = p_user_id;
  return sync.status_json(v_subscription);
end
$$;

comment on function sync.status(text) is
  'A user''s Cloud Sync: { active, interval, nextChargeAt, pausedAt, paidUntil, gifted, price, autoResume }, price in credits at the next charge; inactive and monthly for a user who never had it. Writes nothing. CR001 no user id. For mana_service, mana_ops and mana_readonly.';
