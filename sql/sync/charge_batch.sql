create or replace function sync.charge_batch(
  p_user_ids text[], p_caller text, p_now timestamptz, out o_charged bigint, out o_paused bigint
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_met credits.sync_period[];
  v_unmet credits.sync_period[];
begin
  with due as (
    select
      row(
        s.user_id,
        s.interval,
        p.months,
        p.credits,
        s.next_charge_at,
        sync.period_start(s.anchor, s.months_paid + p.months),
        b.balance - b.held
      )::credits.sync_period as period,
      b.balance - b.held >= p.credits as is_met
    from unnest(p_user_ids) u (user_id)
    join credits.sync_subscriptions s on s.user_id = u.user_id
    join credits.sync_prices p on p.interval = s.interval
    join credits.balances b on b.user_id = u.user_id
    where s.next_charge_at <= p_now
  )
  select
    coalesce(array_agg(d.period) filter (where d.is_met), '{}'),
    coalesce(array_agg(d.period) filter (where not d.is_met), '{}')
  into v_met, v_unmet
  from due d;
  o_charged := cardinality(v_met);
  o_paused := cardinality(v_unmet);

  if o_charged > 0 then
    perform sync.post_charges(v_met, p_caller, p_now);
    update credits.sync_subscriptions s
    set
      months_paid = s.months_paid + m.months,
      next_charge_at = m.period_end,
      paid_until = m.period_end,
      updated_at = p_now
    from unnest(v_met) m
    where s.user_id = m.user_id;
  end if;

  if o_paused > 0 then
    update credits.sync_subscriptions s
    set status = 'paused', next_charge_at = null, paused_at = p_now, updated_at = p_now
    from unnest(v_unmet) m
    where s.user_id = m.user_id;
    perform credits.emit_many(
      array_agg(m.user_id),
      'sync.paused',
      array_agg(jsonb_build_object(
        'reason', 'insufficient_credits',
        'interval', m.interval,
        'required', m.credits,
        'available', m.available,
        'dueAt', credits.iso8601(m.period_start)
      )),
      p_now
    )
    from unnest(v_unmet) m;
  end if;
end
$$;

comment on function sync.charge_batch(text[], text, timestamptz) is
  'Charges the next due period of each of these users, or pauses where the spendable credits don''t suffice: a handful of statements, however many users. The caller holds their balances'' locks. Internal to sync.charge_users.';
