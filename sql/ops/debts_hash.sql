create or replace function ops.debts_hash(p_user_id text, p_debt_ids uuid[])
returns bytea
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select sha256(convert_to(
    jsonb_agg(
      jsonb_build_array(
        d.user_id,
        d.id,
        d.purchase_id,
        d.kind,
        d.amount,
        d.transaction_id,
        (extract(epoch from d.created_at) * 1000000)::bigint
      )
      order by d.id
    )::text,
    'UTF8'
  ))
  from credits.debts d
  where d.user_id = p_user_id and d.id = any (p_debt_ids);
$$;

comment on function ops.debts_hash(text, uuid[]) is
  'sha256 over these rows of a user''s debts, as they stand; null when none of them is there. Internal.';
