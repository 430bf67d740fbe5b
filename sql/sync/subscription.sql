create or replace function sync.subscription(p_user_id text)
returns credits.sync_subscriptions
language plpgsql
volatile -- a fresh snapshot: what committed while we waited for the lock must be seen
set search_path = pg_catalog, pg_temp
as $$
declare
  v_subscription credits.sync_subscriptions;
begin
  select * into v_subscription from credits.sync_subscriptions s where s.user_id = p_user_id;
  return v_subscription;
end
$$;

comment on function sync.subscription(text) is
  'A user''s subscription as it stands under the balance''s lock, which guards it; all nulls for a user who has none. Internal.';
