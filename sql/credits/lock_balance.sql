create or replace function credits.lock_balance(p_user_id text)
returns credits.balances
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_balance credits.balances;
begin
  select * into v_balance from credits.balances b where b.user_id = p_user_id for no key update;
  if not found then
    -- A row that isn't there can't be locked: make it, whoever gets there first, then lock it.
    perform credits.check_text('userId', p_user_id, 128);
    insert into credits.balances (user_id) values (p_user_id) on conflict (user_id) do nothing;
    select * into strict v_balance from credits.balances b where b.user_id = p_user_id for no key update;
  end if;
  return v_balance;
end
$$;

comment on function credits.lock_balance(text) is
  'Locks a user''s balance until the transaction ends and returns it, made with zeros if new. Callers that lock several take them in user_id order. CR001: no user id. Internal.';
