create or replace function ops.verify_refunds()
returns table (invariant text, user_id text, detail text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    'refund_cap', r.user_id,
    format('charge %s of %s credits, refunded %s', r.related_transaction_id, coalesce(-c.amount, 0), r.refunded)
  from (
    select t.user_id, t.related_transaction_id, sum(t.amount) as refunded
    from credits.transactions t
    where t.type = 'refund' and t.related_transaction_id is not null
    group by t.user_id, t.related_transaction_id
  ) r
  left join credits.transactions c
    on c.user_id = r.user_id and c.id = r.related_transaction_id and c.type = 'usage'
  where c.id is null or r.refunded > -c.amount
  union all
  select 'grant', g.user_id, format('grant %s has no ledger row of type grant', g.reference_id)
  from credits.grants g
  left join credits.transactions t on t.user_id = g.user_id and t.id = g.transaction_id and t.type = 'grant'
  where t.id is null;
$$;

comment on function ops.verify_refunds() is
  'Invariant 5, the core''s part: no charge is refunded beyond itself, every grant has its ledger row. Part of ops.verify().';
