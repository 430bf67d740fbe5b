create or replace function ops.verify_usage()
returns table (invariant text, user_id text, detail text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    'usage_stats', coalesce(s.user_id, l.user_id),
    format(
      '%s on %s: usage_stats %s credits in %s, ledger %s in %s',
      coalesce(s.app_id, l.app_id), coalesce(s.day, l.day),
      coalesce(s.credits_used, 0), coalesce(s.count, 0), coalesce(l.credits_used, 0), coalesce(l.count, 0)
    )
  from credits.usage_stats s
  full join (
    select
      t.user_id,
      (t.created_at at time zone 'UTC')::date as day,
      t.app_id,
      -sum(t.amount) as credits_used,
      count(*) as count
    from credits.transactions t
    where t.type = 'usage'
    group by 1, 2, 3
  ) l on l.user_id = s.user_id and l.day = s.day and l.app_id = s.app_id
  where s.credits_used is distinct from l.credits_used or s.count is distinct from l.count;
$$;

comment on function ops.verify_usage() is
  'Invariant 6: usage_stats equals the ledger''s usage by user, app and UTC day. Part of ops.verify().';
