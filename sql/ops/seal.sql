create or replace function ops.seal(p_now timestamptz default now())
returns ops.seals
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_previous ops.seals;
  v_seal ops.seals;
begin
  -- One seal after the other. Nobody else waits: balances are read, not locked.
  lock table ops.seals in share row exclusive mode;
  select * into v_previous from ops.seals s order by s.seal desc limit 1;
  v_seal.seal := coalesce(v_previous.seal, 0) + 1;
  v_seal.sealed_at := p_now;
  v_seal.previous_digest := v_previous.digest;

  -- One statement, so one moment of the books for all users.
  insert into ops.seal_heads (user_id, seal, version, head, debt_ids, debts_hash)
  select b.user_id, v_seal.seal, b.version, b.head, d.ids, ops.debts_hash(b.user_id, d.ids)
  from credits.balances b
  left join (
    select x.user_id, array_agg(x.id order by x.id) as ids
    from credits.debts x
    group by x.user_id
  ) d on d.user_id = b.user_id
  left join lateral (
    select h.version, h.head, h.debt_ids
    from ops.seal_heads h
    where h.user_id = b.user_id
    order by h.seal desc
    limit 1
  ) last on true
  where b.version > 0
    and (last.version, last.head, last.debt_ids) is distinct from (b.version, b.head, d.ids);

  select count(*), coalesce(sum(h.version), 0)
  into v_seal.users, v_seal.ledger_rows
  from ops.sealed_heads(v_seal.seal) h;
  v_seal.digest := ops.seal_digest(v_seal);
  insert into ops.seals values (v_seal.*);
  return v_seal;
end
$$;

comment on function ops.seal(timestamptz) is
  'Seals history: one digest over every user''s ledger and debts as they stand. Answers the seal; keep its digest where nobody who can write to this database can change it; ops.verify_seal(digest) tells later whether anything up to here was rewritten. Locks nobody out but another seal. For mana_service and mana_ops.';
