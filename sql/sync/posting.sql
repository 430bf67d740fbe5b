create or replace function sync.posting(p_period credits.sync_period, p_caller text)
returns credits.posting
language sql
stable
return row(
  'usage',
  -p_period.credits,
  'revenue:sync',
  'sync',
  'Cloud Sync, ' || p_period.interval,
  jsonb_build_object(
    'interval', p_period.interval,
    'periodStart', credits.iso8601(p_period.period_start),
    'periodEnd', credits.iso8601(p_period.period_end)
  ),
  null,
  null,
  -- Nothing that comes in from outside has such a caller, so ops.verify_sync() can tell these rows from all others.
  'sync:' || p_caller,
  null
)::credits.posting;

comment on function sync.posting(credits.sync_period, text) is
  'What a sync period puts into the ledger. Internal.';
