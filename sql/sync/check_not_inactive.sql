create or replace function sync.check_not_inactive(p_subscription credits.sync_subscriptions)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_subscription.status is null or p_subscription.status = 'inactive' then
    raise exception using
      errcode = 'CR102', message = 'Sync is not active. Activate it first.', detail = '{}';
  end if;
end
$$;

comment on function sync.check_not_inactive(credits.sync_subscriptions) is
  'Raises CR102 unless there is a subscription, active or paused. Internal.';
