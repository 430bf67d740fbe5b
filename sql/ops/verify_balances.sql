create or replace function ops.verify_balances()
returns table (invariant text, user_id text, detail text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  with ledger as (
    select
      t.user_id,
      sum(t.amount) as balance,
      coalesce(sum(t.amount) filter (where t.amount > 0), 0) as total_earned,
      coalesce(-sum(t.amount) filter (where t.amount < 0), 0) as total_spent,
      max(t.seq) as version,
      (array_agg(t.balance_after order by t.seq desc))[1] as last_balance_after,
      (array_agg(t.hash order by t.seq desc))[1] as head
    from credits.transactions t
    group by t.user_id
  ),
  checked as (
    select
      coalesce(b.user_id, l.user_id) as user_id,
      b.user_id is null as missing,
      b.balance,
      b.total_earned,
      b.total_spent,
      b.version,
      b.head,
      coalesce(l.balance, 0) as ledger_balance,
      coalesce(l.total_earned, 0) as ledger_earned,
      coalesce(l.total_spent, 0) as ledger_spent,
      coalesce(l.version, 0) as ledger_version,
      coalesce(l.last_balance_after, 0) as ledger_balance_after,
      coalesce(l.head, '\x') as ledger_head
    from credits.balances b
    full join ledger l on l.user_id = b.user_id
  )
  select 'balance_row', c.user_id, 'the ledger has rows of this user, credits.balances has none'
  from checked c
  where c.missing
  union all
  select
    'balance_sum', c.user_id,
    format(
      'balance %s, ledger sum %s, last balance_after %s', c.balance, c.ledger_balance, c.ledger_balance_after
    )
  from checked c
  where not c.missing and (c.balance <> c.ledger_balance or c.balance <> c.ledger_balance_after)
  union all
  select 'balance_version', c.user_id, format('version %s, last seq %s', c.version, c.ledger_version)
  from checked c
  where not c.missing and c.version <> c.ledger_version
  union all
  select 'balance_head', c.user_id, 'head is not the hash of the last ledger row'
  from checked c
  where not c.missing and c.head <> c.ledger_head
  union all
  select
    'balance_totals', c.user_id,
    format(
      'total_earned %s, ledger %s; total_spent %s, ledger %s',
      c.total_earned, c.ledger_earned, c.total_spent, c.ledger_spent
    )
  from checked c
  where not c.missing and (c.total_earned <> c.ledger_earned or c.total_spent <> c.ledger_spent)
  union all
  -- Users and system accounts, derived from the same rows: what one side has, the other lacks.
  select 'zero_sum', null, format('user balances add up to %s, system accounts to %s', u.total, s.total)
  from
    (select coalesce(sum(b.balance), 0) as total from credits.balances b) u,
    (select coalesce(-sum(t.amount), 0) as total from credits.transactions t) s
  where u.total + s.total <> 0;
$$;

comment on function ops.verify_balances() is
  'Invariants 1, 3 and 7: each balance, its version, head and totals follow from the ledger, and users and system accounts sum to zero. Part of ops.verify().';
