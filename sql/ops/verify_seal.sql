create or replace function ops.verify_seal(p_digest text)
returns table (invariant text, user_id text, detail text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  -- The digest vouches for the heads in ops.seal_heads, the heads for the ledger. Each is checked on its own, so that
  -- whoever's ledger was rewritten, and not its head, is named. Null is a difference: who can rewrite a row
  -- can make its hash null, too.
  with seal as (
    select s.* from ops.seals s where s.digest = lower(btrim(p_digest, e' \t\r\n'))
  ),
  sealed as (
    select h.* from seal s, ops.sealed_heads(s.seal) h
  ),
  links as (
    select
      s.user_id, s.version, s.head, t.seq, t.hash,
      -- The row in its place, hashed with the one before it.
      t.seq = row_number() over w
        and t.hash = credits.transaction_hash(coalesce(lag(t.hash) over w, '\x'), t) as holds
    from sealed s
    join credits.transactions t on t.user_id = s.user_id and t.seq <= s.version
    window w as (partition by t.user_id order by t.seq)
  ),
  ledgers as (
    select
      l.user_id,
      max(l.seq) as last_seq,
      min(l.seq) filter (where l.holds is not true) as first_wrong,
      bool_or(l.seq = l.version and l.hash = l.head) as ends_as_sealed
    from links l
    group by l.user_id
  )
  select 'seal_unknown', null, 'this database has no seal of that digest, or no longer has it'
  where not exists (select from seal)
  union all
  select 'seal_digest', null, format('seal %s: the heads kept with it aren''t those that were sealed', s.seal)
  from ops.seals s
  where s.digest = lower(btrim(p_digest, e' \t\r\n')) and ops.seal_digest(s) is distinct from s.digest
  union all
  select 'seal_user', s.user_id, format('%s ledger rows were sealed, none is there', s.version)
  from sealed s
  where not exists (select from ledgers l where l.user_id = s.user_id)
  union all
  select 'seal_tail', s.user_id, format('%s ledger rows were sealed, the last one now is seq %s', s.version, l.last_seq)
  from sealed s
  join ledgers l on l.user_id = s.user_id
  where l.last_seq < s.version
  union all
  select
    'seal_row', l.user_id,
    format('seq %s isn''t the row that was sealed, or one before it is missing', l.first_wrong)
  from ledgers l
  where l.first_wrong is not null
  union all
  select 'seal_head', s.user_id, format('seq 1 to %s hash to something else than was sealed', s.version)
  from sealed s
  join ledgers l on l.user_id = s.user_id
  where l.last_seq = s.version and l.ends_as_sealed is not true
  union all
  select
    'seal_debts', s.user_id,
    format('the %s rows of debts that were sealed aren''t what they were', cardinality(s.debt_ids))
  from sealed s
  where s.debts_hash is distinct from ops.debts_hash(s.user_id, s.debt_ids);
$$;

comment on function ops.verify_seal(text) is
  'Whether history up to a seal is as it was when ops.seal() answered that digest: one row for each thing that isn''t, none when nothing was rewritten. seal_unknown: no such seal (or somebody removed it); seal_digest: the stored heads were changed; seal_user, seal_tail, seal_row, seal_head, seal_debts: that user''s ledger or debts were. Reads the ledger up to the seal in one snapshot, locks nobody out. For mana_service, mana_ops and mana_readonly.';
