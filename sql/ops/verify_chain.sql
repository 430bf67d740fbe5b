create or replace function ops.verify_chain()
returns table (invariant text, user_id text, detail text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  with chained as (
    select
      t.user_id,
      t.seq,
      t.balance_before,
      t.balance_after,
      t.amount,
      t.hash,
      row_number() over w as expected_seq,
      coalesce(lag(t.balance_after) over w, 0) as previous_balance_after,
      credits.transaction_hash(coalesce(lag(t.hash) over w, '\x'), t) as expected_hash
    from credits.transactions t
    window w as (partition by t.user_id order by t.seq)
  )
  select 'ledger_seq', c.user_id, format('seq %s stands where %s belongs', c.seq, c.expected_seq)
  from chained c
  where c.seq <> c.expected_seq
  union all
  select
    'ledger_chain', c.user_id,
    format('seq %s: balance_before %s, previous balance_after %s', c.seq, c.balance_before, c.previous_balance_after)
  from chained c
  where c.balance_before <> c.previous_balance_after
  union all
  select
    'ledger_amount', c.user_id,
    format('seq %s: %s + %s is not %s', c.seq, c.balance_before, c.amount, c.balance_after)
  from chained c
  where c.balance_before + c.amount <> c.balance_after
  union all
  select 'ledger_hash', c.user_id, format('seq %s: the row is not the one that was hashed', c.seq)
  from chained c
  where c.hash <> c.expected_hash;
$$;

comment on function ops.verify_chain() is
  'Invariant 1: every user''s seq runs 1, 2, 3 …, each row starts where the last one ended, and the hashes chain. Part of ops.verify().';
