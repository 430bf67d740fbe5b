create or replace function ops.rotate_service_key(
  p_key text,
  p_prefix text,
  p_hash bytea,
  p_who text,
  p_overlap interval default '24 hours',
  p_now timestamptz default now()
)
returns ops.service_key
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_old credits.service_keys;
  v_key credits.service_keys;
  v_follower text;
begin
  if coalesce(p_overlap not between interval '0' and interval '30 days', true) then
    perform credits.invalid('overlap', 'must be from 0 to 30 days');
  end if;
  v_old := ops.find_service_key(p_key);
  perform ops.check_service_key_active(v_old, p_now);
  select k.prefix into v_follower from credits.service_keys k where k.replaces_id = v_old.id;
  if found then
    raise exception using
      errcode = 'CR402',
      message = format('The service key was rotated already: %s follows it.', v_follower),
      detail = jsonb_build_object('prefix', v_old.prefix, 'keyStatus', 'rotated');
  end if;

  update credits.service_keys k
  set expires_at = least(k.expires_at, p_now + p_overlap)
  where k.id = v_old.id;

  v_key.id := uuidv7();
  v_key.first_id := v_old.first_id;
  v_key.replaces_id := v_old.id;
  v_key.app_id := v_old.app_id;
  v_key.scopes := v_old.scopes;
  v_key.daily_cap := v_old.daily_cap;
  -- As long a life as the old one was given.
  v_key.expires_at := p_now + (v_old.expires_at - v_old.created_at);
  v_key.created_at := p_now;
  return ops.add_service_key(v_key, p_prefix, p_hash, p_who);
end
$$;

comment on function ops.rotate_service_key(text, text, bytea, text, interval, timestamptz) is
  'Puts a new secret, of which it gets the sha256, in a service key''s place, named by its prefix or id: same app, scopes and cap, of which both use up one, and as long a life where the old one had an expiry. The old one stays good for the overlap (0 to 30 days) and then expires by itself. p_who signs. Returns the new key. CR001 invalid argument, CR401 no such key, CR402 revoked, expired or rotated already. For mana_ops.';
