create or replace function credits.service_key_status(p_key credits.service_keys, p_now timestamptz)
returns text
language sql
stable
return case
  when p_key.revoked_at is not null then 'revoked'
  when p_key.expires_at <= p_now then 'expired'
  else 'active'
end;

comment on function credits.service_key_status(credits.service_keys, timestamptz) is
  'active, revoked or expired. Internal.';
