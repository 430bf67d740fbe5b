create or replace function gifts.lock_balances(p_user_ids text[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_id text;
begin
  for v_user_id in select distinct u.user_id from unnest(p_user_ids) u (user_id) order by u.user_id loop
    perform credits.lock_balance(v_user_id);
  end loop;
end
$$;

comment on function gifts.lock_balances(text[]) is
  'Locks several balances in user_id order, each made with zeros if new. What touches a gift does this first and locks the gift after, so that no two wait for each other in a circle. Internal.';
