create or replace function ops.verify_holds()
returns table (invariant text, user_id text, detail text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select 'held', b.user_id, format('held %s, open reservations %s', b.held, coalesce(r.held, 0))
  from credits.balances b
  left join (
    select o.user_id, sum(o.amount) as held
    from credits.reservations o
    where o.status = 'open'
    group by o.user_id
  ) r on r.user_id = b.user_id
  where b.held <> coalesce(r.held, 0)
  union all
  select
    'reservation_commit', r.user_id,
    format('reservation %s says it charged %s, the ledger %s', r.id, r.committed_amount, coalesce(-t.amount, 0))
  from credits.reservations r
  left join credits.transactions t on t.user_id = r.user_id and t.id = r.transaction_id
  where r.status = 'committed' and (t.id is null or t.type <> 'usage' or -t.amount <> r.committed_amount);
$$;

comment on function ops.verify_holds() is
  'Invariant 2: held is the sum of the open reservations, and a committed one has its charge in the ledger. Part of ops.verify().';
