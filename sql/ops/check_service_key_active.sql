create or replace function ops.check_service_key_active(p_key credits.service_keys, p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_status text := credits.service_key_status(p_key, p_now);
begin
  if v_status = 'revoked' then
    raise exception using
      errcode = 'CR402',
      message = format(
        'The service key was revoked already, by %s on %s.', p_key.revoked_by, credits.iso8601(p_key.revoked_at)
      ),
      detail = jsonb_build_object('prefix', p_key.prefix, 'keyStatus', v_status);
  elsif v_status = 'expired' then
    raise exception using
      errcode = 'CR402',
      message = format('The service key expired on %s.', credits.iso8601(p_key.expires_at)),
      detail = jsonb_build_object('prefix', p_key.prefix, 'keyStatus', v_status);
  end if;
end
$$;

comment on function ops.check_service_key_active(credits.service_keys, timestamptz) is
  'Raises CR402 where the key is revoked or expired already. Internal.';
