create or replace function ops.verify_sync()
returns table (invariant text, user_id text, detail text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    'sync_charge', c.user_id,
    format('period of %s: charge of %s credits has no such ledger row', c.period_start, c.credits)
  from credits.sync_charges c
  left join credits.transactions t on t.user_id = c.user_id and t.id = c.transaction_id
  where t.id is null or t.type <> 'usage' or t.counter_account <> 'revenue:sync' or -t.amount <> c.credits
  union all
  select 'sync_ledger', t.user_id, format('ledger row %s is a sync charge that paid for %s periods', t.id, count(c.*))
  from credits.transactions t
  left join credits.sync_charges c on c.user_id = t.user_id and c.transaction_id = t.id
  where t.caller like 'sync:%'
  group by t.user_id, t.id
  having count(c.*) <> 1
  union all
  select 'sync_overlap', p.user_id, format('period of %s begins before the last one ended', p.period_start)
  from (
    select
      c.user_id,
      c.period_start,
      lag(c.period_end) over (partition by c.user_id order by c.period_start) as previous_end
    from credits.sync_charges c
  ) p
  where p.period_start < p.previous_end
  union all
  select
    'sync_paid_until', coalesce(s.user_id, c.user_id),
    format('paid until %s, last period charged ends %s', s.paid_until, c.period_end)
  from credits.sync_subscriptions s
  full join (
    select x.user_id, max(x.period_end) as period_end from credits.sync_charges x group by x.user_id
  ) c on c.user_id = s.user_id
  where s.paid_until is distinct from c.period_end
  union all
  select
    'sync_next_charge', s.user_id,
    format(
      'next charge %s, anchor %s, %s months paid, until %s',
      s.next_charge_at, s.anchor, s.months_paid, s.paid_until
    )
  from credits.sync_subscriptions s
  where s.next_charge_at <> sync.period_start(s.anchor, s.months_paid)
    or (s.next_charge_at <> s.paid_until and s.months_paid > 0);
$$;

comment on function ops.verify_sync() is
  'Invariant 5, sync''s part: a period is charged at most once and no two overlap, every charge has its ledger row and the other way round, and the dates of a subscription follow from its anchor and its charges. Part of ops.verify().';
