create or replace function gifts.spendable(p_user_id text)
returns bigint
language sql
volatile -- what this transaction has just written counts
set search_path = pg_catalog, pg_temp
as $$
  select b.balance - b.held from credits.balances b where b.user_id = p_user_id;
$$;

comment on function gifts.spendable(text) is
  'Credits a user can spend now, read after a posting: what came in may have paid a debt or a subscription. The caller holds the lock. Internal.';
