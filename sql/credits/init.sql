create or replace function credits.init(p_user_id text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform credits.check_text('userId', p_user_id, 128);
  return credits.balance_json(credits.lock_balance(p_user_id));
end
$$;

comment on function credits.init(text) is
  'Opens a user''s account with zeros and answers its balance; an account that is there stays as it is. CR001 no user id. For mana_service and mana_ops.';
