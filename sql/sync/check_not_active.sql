create or replace function sync.check_not_active(p_subscription credits.sync_subscriptions)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_subscription.status = 'active' then
    raise exception using
      errcode = 'CR101', message = 'Sync is active already.',
      detail = jsonb_build_object('nextChargeAt', credits.iso8601(p_subscription.next_charge_at));
  end if;
end
$$;

comment on function sync.check_not_active(credits.sync_subscriptions) is
  'Raises CR101 while sync is active. Internal.';
