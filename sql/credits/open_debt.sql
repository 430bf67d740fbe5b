create or replace function credits.open_debt(p_user_id text, p_purchase_id uuid)
returns bigint
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(sum(d.amount), 0)::bigint
  from credits.debts d
  where d.user_id = p_user_id and d.purchase_id = p_purchase_id;
$$;

comment on function credits.open_debt(text, uuid) is
  'Credits that a user still owes for a purchase. The caller holds the balance''s lock. Internal.';
