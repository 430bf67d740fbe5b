create or replace function ops.seal_digest(p_seal ops.seals)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  with leaves as (
    select
      sha256(convert_to(
        jsonb_build_array(h.user_id, h.version, encode(h.head, 'hex'), encode(h.debts_hash, 'hex'))::text, 'UTF8'
      )) as leaf
    from ops.sealed_heads(p_seal.seal) h
  ),
  -- In 65,536 parts: no single value grows with the number of users, which Postgres would limit to 1 GB.
  parts as (
    select substr(l.leaf, 1, 2) as part, sha256(string_agg(l.leaf, '\x'::bytea order by l.leaf)) as hash
    from leaves l
    group by substr(l.leaf, 1, 2)
  )
  select encode(sha256(
    convert_to(
      jsonb_build_array(
        'mana-credits seal 1',
        p_seal.seal,
        (extract(epoch from p_seal.sealed_at) * 1000000)::bigint,
        p_seal.users,
        p_seal.ledger_rows,
        p_seal.previous_digest
      )::text,
      'UTF8'
    )
    || coalesce(string_agg(p.hash, '\x'::bytea order by p.part), '\x')
  ), 'hex')
  from parts p;
$$;

comment on function ops.seal_digest(ops.seals) is
  'The digest of a seal: sha256 over its number, its time, its counts, the digest before it, and every head it covers. Internal.';
