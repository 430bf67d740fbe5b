create or replace function ops.revoke_service_key(p_key text, p_who text, p_now timestamptz default now())
returns ops.service_key
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_who text := btrim(p_who, e' \t\r\n');
  v_key credits.service_keys;
  v_shown ops.service_key;
begin
  perform credits.check_text('who', v_who, 128);
  v_key := ops.find_service_key(p_key);
  perform ops.check_service_key_active(v_key, p_now);
  update credits.service_keys k set revoked_at = p_now, revoked_by = v_who where k.id = v_key.id;
  select * into strict v_shown from ops.service_keys(p_now) k where k.id = v_key.id;
  return v_shown;
end
$$;

comment on function ops.revoke_service_key(text, text, timestamptz) is
  'Ends a service key, named by its prefix or id, for good: every process refuses it within 30 seconds. A key it was rotated to goes on. Holds it made stay, for the app''s other keys. p_who signs. Returns it. CR001 no signature, CR401 no such key, CR402 revoked or expired already. For mana_ops.';
