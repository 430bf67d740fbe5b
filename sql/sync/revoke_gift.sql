create or replace function sync.revoke_gift(p_user_id text, p_by text, p_now timestamptz default now())
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_subscription credits.sync_subscriptions;
begin
  perform credits.check_text('userId', p_user_id, 128);
  perform credits.check_text('by', p_by, 128);
  perform from credits.balances b where b.user_id = p_user_id for no key update;
  v_subscription := sync.subscription(p_user_id);
  if v_subscription.gifted is not true then
    raise exception using
      errcode = 'CR104', message = 'This user has no sync as a gift.', detail = jsonb_build_object('userId', p_user_id);
  end if;

  if v_subscription.status = 'active' and v_subscription.paid_until <= p_now then
    -- The time of the gift is not billed: a new period from now, which the next run charges.
    v_subscription.anchor := date_trunc('milliseconds', p_now);
    v_subscription.months_paid := 0;
  end if;
  update credits.sync_subscriptions s
  set
    gift_revoked_by = p_by,
    gift_revoked_at = p_now,
    anchor = v_subscription.anchor,
    months_paid = v_subscription.months_paid,
    next_charge_at = case s.status
      when 'active' then sync.period_start(v_subscription.anchor, v_subscription.months_paid)
    end,
    updated_at = p_now
  where s.user_id = p_user_id;
  if v_subscription.status <> 'active' then
    perform credits.emit(p_user_id, 'sync.deactivated', jsonb_build_object('gifted', true, 'by', p_by), p_now);
  end if;
  -- Credits may have arrived meanwhile.
  perform credits.settle(p_user_id, p_now);
  return sync.details(p_user_id);
end
$$;

comment on function sync.revoke_gift(text, text, timestamptz) is
  'Ends sync as a gift. What lay underneath goes on: an active subscription with its paid time, or a new period from now if that is over (charged by the next run); a paused one stays paused; else sync ends. Answers sync.details. CR001 invalid argument, CR104 no gift. For mana_service and mana_ops.';
