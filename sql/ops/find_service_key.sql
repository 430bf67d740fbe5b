create or replace function ops.find_service_key(p_key text)
returns credits.service_keys
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_key credits.service_keys;
begin
  select * into v_key
  from credits.service_keys k
  where k.prefix = p_key or k.id::text = lower(p_key)
  for no key update;
  if not found then
    raise exception using
      errcode = 'CR401',
      message = 'There is no service key with this prefix or id: ops.service_keys() lists them.',
      -- Not what was given: it may be a secret, pasted by mistake.
      detail = '{}';
  end if;
  return v_key;
end
$$;

comment on function ops.find_service_key(text) is
  'Locks a service key, found by its prefix or its id. CR401 no such key. Internal.';
