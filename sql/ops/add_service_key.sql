create or replace function ops.add_service_key(
  p_key credits.service_keys, p_prefix text, p_hash bytea, p_who text
)
returns ops.service_key
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_key credits.service_keys := p_key;
  v_shown ops.service_key;
begin
  perform credits.check_text('who', btrim(p_who, e' \t\r\n'), 128);
  if coalesce(p_prefix !~ '^[0-9a-z]{8}$', true) then
    perform credits.invalid('prefix', 'must be 8 characters 0-9 and a-z');
  end if;
  if coalesce(octet_length(p_hash) <> 32, true) then
    perform credits.invalid('hash', 'must be a sha256');
  end if;
  if exists (select from credits.service_keys k where k.prefix = p_prefix or k.hash = p_hash) then
    perform credits.invalid('prefix', 'is taken, or the hash: make another secret');
  end if;
  v_key.prefix := p_prefix;
  v_key.hash := p_hash;
  v_key.created_by := btrim(p_who, e' \t\r\n');
  insert into credits.service_keys values (v_key.*);
  select * into strict v_shown from ops.service_keys(v_key.created_at) k where k.id = v_key.id;
  return v_shown;
end
$$;

comment on function ops.add_service_key(credits.service_keys, text, bytea, text) is
  'Writes a key that is made or rotated and returns it as ops.service_keys shows it. CR001 no signature, prefix or hash. Internal.';
