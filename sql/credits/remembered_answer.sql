create or replace function credits.remembered_answer(p_user_id text, p_caller text, p_key text, p_request jsonb)
returns jsonb
language plpgsql
volatile -- a fresh snapshot: what committed while we waited for the lock must be seen
set search_path = pg_catalog, pg_temp
as $$
declare
  v_remembered credits.idempotency_keys;
begin
  select * into v_remembered
  from credits.idempotency_keys k
  where k.user_id = p_user_id and k.caller = p_caller and k.key = p_key;
  if not found then
    return null;
  end if;
  if v_remembered.request_hash <> credits.request_hash(p_request) then
    raise exception using
      errcode = 'CR003',
      message = 'This idempotency key was used for another request. Use a new key for a new request.',
      detail = jsonb_build_object('idempotencyKey', p_key);
  end if;
  return v_remembered.answer || jsonb_build_object('replayed', true);
end
$$;

comment on function credits.remembered_answer(text, text, text, jsonb) is
  'The first answer to this key with replayed: true, or null if the key is new (or null). CR003: the key was used for another request. Call it under the balance''s lock. Internal.';
