create or replace function ops.verify_once()
returns table (invariant text, user_id text, detail text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    'idempotency_key', t.user_id,
    format('seq %s was asked for with key %s of %s, which is forgotten', t.seq, t.idempotency_key, t.caller)
  from credits.transactions t
  where t.idempotency_key is not null
    and not exists (
      select
      from credits.idempotency_keys k
      where k.user_id = t.user_id and k.caller = t.caller and k.key = t.idempotency_key
    )
  union all
  select
    'grant_reference', t.user_id,
    format('seq %s was given for %s, which is forgotten', t.seq, t.metadata ->> 'referenceId')
  from credits.transactions t
  where t.type = 'grant'
    and t.metadata ? 'referenceId'
    and not exists (
      select
      from credits.grants g
      where g.user_id = t.user_id
        and g.reference_id = t.metadata ->> 'referenceId'
        and g.transaction_id = t.id
    );
$$;

comment on function ops.verify_once() is
  'Invariant 5, the core''s part: what makes a call happen once is still there, the key of every keyed ledger row and the reference of every grant. Part of ops.verify().';
