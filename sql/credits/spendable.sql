create or replace function credits.spendable(p_user_id text)
returns bigint
language plpgsql
volatile -- read after what credits.settle did in the same statement
set search_path = pg_catalog, pg_temp
as $$
begin
  return (select b.balance - b.held from credits.balances b where b.user_id = p_user_id);
end
$$;

comment on function credits.spendable(text) is
  'Credits a user can spend as the balance stands, for answers given after credits.post: what came in may have been spent on a debt or on sync already. Null without an account. Internal.';
