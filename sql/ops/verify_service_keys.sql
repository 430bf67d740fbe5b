create or replace function ops.verify_service_keys()
returns table (invariant text, user_id text, detail text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  with days as (
    select d.key_id, d.day, d.spent, k.app_id, k.daily_cap, coalesce(h.spent, 0) as on_holds
    from credits.service_key_days d
    join credits.service_keys k on k.id = d.key_id
    left join (
      select
        f.first_id,
        (r.created_at at time zone 'UTC')::date as day,
        sum(case r.status when 'open' then r.amount when 'committed' then r.committed_amount else 0 end) as spent
      from credits.reservations r
      join credits.service_keys f on f.id = r.service_key_id
      group by 1, 2
    ) h on h.first_id = d.key_id and h.day = d.day
  )
  select 'daily_cap', null, format('key %s on %s: spent %s of %s', d.key_id, d.day, d.spent, d.daily_cap)
  from days d
  where d.spent > coalesce(d.daily_cap, 0)
  union all
  select
    'daily_cap_holds', null,
    format('key %s on %s: spent %s, its holds alone came to %s', d.key_id, d.day, d.spent, d.on_holds)
  from days d
  where d.spent < d.on_holds
  union all
  -- The ledger knows the app, not the key, and the app may have keys without a cap: it holds at least as much.
  select
    'daily_cap_debits', null,
    format(
      'app %s on %s: debits through its capped keys %s, in the ledger %s',
      a.app_id, a.day, a.spent, coalesce(l.spent, 0)
    )
  from (select d.app_id, d.day, sum(d.spent - d.on_holds) as spent from days d group by 1, 2) a
  left join (
    select t.caller, (t.created_at at time zone 'UTC')::date as day, -sum(t.amount) as spent
    from credits.transactions t
    where t.type = 'usage'
      and t.caller in (select 'service:' || d.app_id from days d)
      and not exists (select from credits.reservations r where r.user_id = t.user_id and r.transaction_id = t.id)
    group by 1, 2
  ) l on l.caller = 'service:' || a.app_id and l.day = a.day
  where coalesce(l.spent, 0) < a.spent;
$$;

comment on function ops.verify_service_keys() is
  'What is spent against a key''s daily cap is no more than the cap, no less than the holds made through it, and what is not holds is in the ledger under its app. Part of ops.verify().';
