create or replace function ops.sealed_heads(p_seal bigint)
returns setof ops.seal_heads
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select distinct on (h.user_id) h.*
  from ops.seal_heads h
  where h.seal <= p_seal
  order by h.user_id, h.seal desc;
$$;

comment on function ops.sealed_heads(bigint) is
  'What a seal covers: each user''s last head as of that seal. A seal stores only the heads that moved since the one before. Internal.';
