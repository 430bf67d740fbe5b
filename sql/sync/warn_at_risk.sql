create or replace function sync.warn_at_risk(p_now timestamptz, p_limit integer)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_ids text[];
  v_data jsonb[];
begin
  -- Found without locks, then looked at again under them.
  v_user_ids := array(
    select s.user_id
    from credits.sync_subscriptions s
    join credits.sync_prices p on p.interval = s.interval
    join credits.balances b on b.user_id = s.user_id
    where s.next_charge_at > p_now
      and s.next_charge_at <= p_now + interval '3 days'
      and s.warned_for is distinct from s.next_charge_at
      and b.balance - b.held < p.credits
    order by s.next_charge_at
    limit p_limit
  );
  v_user_ids := array(
    select b.user_id from credits.balances b where b.user_id = any (v_user_ids) for no key update skip locked
  );

  with warned as (
    update credits.sync_subscriptions s
    set warned_for = s.next_charge_at, updated_at = p_now
    from credits.sync_prices p, credits.balances b
    where s.user_id = any (v_user_ids)
      and p.interval = s.interval
      and b.user_id = s.user_id
      and s.next_charge_at > p_now
      and s.warned_for is distinct from s.next_charge_at
      and b.balance - b.held < p.credits
    returning
      s.user_id,
      jsonb_build_object(
        'interval', s.interval,
        'required', p.credits,
        'available', b.balance - b.held,
        'nextChargeAt', credits.iso8601(s.next_charge_at)
      ) as data
  )
  select array_agg(w.user_id), array_agg(w.data) into v_user_ids, v_data from warned w;
  perform credits.emit_many(v_user_ids, 'sync.renewal_at_risk', v_data, p_now);
end
$$;

comment on function sync.warn_at_risk(timestamptz, integer) is
  'Emits sync.renewal_at_risk, once a period, for subscriptions whose charge within three days the spendable credits don''t meet: at most p_limit, the nearest first; who is locked by somebody else is left for the next time. Internal to sync.charge_due.';
