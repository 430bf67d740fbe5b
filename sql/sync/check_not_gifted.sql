create or replace function sync.check_not_gifted(p_subscription credits.sync_subscriptions)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_subscription.gifted then
    raise exception using
      errcode = 'CR103',
      message = 'Sync is a gift here: it runs without charge, and there is nothing to change until the gift ends.',
      detail = jsonb_build_object('giftedAt', credits.iso8601(p_subscription.gifted_at));
  end if;
end
$$;

comment on function sync.check_not_gifted(credits.sync_subscriptions) is
  'Raises CR103 while sync is a gift. Internal.';
