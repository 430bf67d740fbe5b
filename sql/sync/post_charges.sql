create or replace function sync.post_charges(p_periods credits.sync_period[], p_caller text, p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_transactions credits.transactions[];
begin
  v_transactions := credits.post_many(
    (select array_agg(row(p.user_id, sync.posting(p, p_caller))::credits.user_posting) from unnest(p_periods) p), p_now
  );

  insert into credits.sync_charges (
    user_id, period_start, period_end, interval, credits, transaction_id, created_at
  )
  select p.user_id, p.period_start, p.period_end, p.interval, p.credits, t.id, p_now
  from unnest(p_periods) p
  join unnest(v_transactions) t on t.user_id = p.user_id;
  delete from credits.sync_charge_errors e using unnest(p_periods) p where e.user_id = p.user_id;

  perform credits.emit_many(
    array_agg(p.user_id),
    'sync.charged',
    array_agg(jsonb_build_object(
      'interval', p.interval,
      'credits', p.credits,
      'periodStart', credits.iso8601(p.period_start),
      'periodEnd', credits.iso8601(p.period_end),
      'transactionId', t.id
    )),
    p_now
  )
  from unnest(p_periods) p
  join unnest(v_transactions) t on t.user_id = p.user_id;
end
$$;

comment on function sync.post_charges(credits.sync_period[], text, timestamptz) is
  'Charges periods, one a user: ledger, sync_charges and the event sync.charged. The caller holds the balances'' locks, has checked that they suffice, and moves the subscriptions on. A period charged already violates sync_charges_pkey. Internal.';
