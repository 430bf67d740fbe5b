create or replace function sync.details(p_user_id text)
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
  return sync.status_json(v_subscription) || jsonb_build_object(
    'userId', p_user_id,
    'status', coalesce(v_subscription.status, 'inactive'),
    'giftedBy', v_subscription.gifted_by,
    'giftedAt', credits.iso8601(v_subscription.gifted_at),
    'giftRevokedBy', v_subscription.gift_revoked_by,
    'giftRevokedAt', credits.iso8601(v_subscription.gift_revoked_at),
    'pausedBy', v_subscription.paused_by,
    'pausedWhy', v_subscription.paused_why,
    'charges', (
      select coalesce(
        jsonb_agg(
          jsonb_build_object(
            'periodStart', credits.iso8601(c.period_start),
            'periodEnd', credits.iso8601(c.period_end),
            'interval', c.interval,
            'credits', c.credits,
            'transactionId', c.transaction_id,
            'chargedAt', credits.iso8601(c.created_at)
          )
          order by c.period_start desc
        ),
        '[]'
      )
      from (
        select * from credits.sync_charges x where x.user_id = p_user_id order by x.period_start desc limit 24
      ) c
    )
  );
end
$$;

comment on function sync.details(text) is
  'A user''s Cloud Sync as an admin sees it: sync.status and { userId, status (without the gift), giftedBy, giftedAt, giftRevokedBy, giftRevokedAt, pausedBy, pausedWhy, charges }, the last 24 charges, newest first. Writes nothing. CR001 no user id. For mana_service, mana_ops and mana_readonly.';
