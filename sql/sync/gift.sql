create or replace function sync.gift(p_user_id text, p_by text, p_now timestamptz default now())
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_subscription credits.sync_subscriptions;
begin
  perform credits.check_text('by', p_by, 128);
  perform credits.lock_balance(p_user_id);
  v_subscription := sync.subscription(p_user_id);
  if v_subscription.gifted then
    return sync.details(p_user_id);
  end if;

  insert into credits.sync_subscriptions as s (
    user_id, status, interval, anchor, months_paid, gifted_by, gifted_at, created_at, updated_at
  )
  values (p_user_id, 'inactive', 'monthly', date_trunc('milliseconds', p_now), 0, p_by, p_now, p_now, p_now)
  on conflict (user_id) do update
  set
    next_charge_at = null,
    gifted_by = p_by,
    gifted_at = p_now,
    gift_revoked_by = null,
    gift_revoked_at = null,
    updated_at = p_now;
  if v_subscription.status is distinct from 'active' then
    perform credits.emit(p_user_id, 'sync.activated', jsonb_build_object('gifted', true, 'by', p_by), p_now);
  end if;
  return sync.details(p_user_id);
end
$$;

comment on function sync.gift(text, text, timestamptz) is
  'Gives a user Cloud Sync: active without charge, and not to be changed by its owner, until sync.revoke_gift. A subscription underneath stays as it is and is not charged meanwhile. p_by says who gives (1 to 128 characters). Answers sync.details; a user who has the gift keeps the first. CR001 invalid argument. For mana_service and mana_ops.';
