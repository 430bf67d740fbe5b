create or replace function credits.remember_answer(
  p_user_id text, p_caller text, p_key text, p_request jsonb, p_answer jsonb, p_now timestamptz
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_key is not null then
    insert into credits.idempotency_keys (user_id, caller, key, request_hash, answer, created_at)
    values (p_user_id, p_caller, p_key, credits.request_hash(p_request), p_answer, p_now);
  end if;
end
$$;

comment on function credits.remember_answer(text, text, text, jsonb, jsonb, timestamptz) is
  'Keeps the answer for the key, in the transaction that made it. Nothing without a key. Internal.';
