create or replace function credits.service_key(p_hash bytea, p_now timestamptz default now())
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_key credits.service_keys;
  v_status text;
begin
  select * into v_key from credits.service_keys k where k.hash = p_hash;
  if not found then
    return jsonb_build_object('status', 'unknown');
  end if;
  v_status := credits.service_key_status(v_key, p_now);
  if v_status <> 'active' then
    return jsonb_build_object('status', v_status);
  end if;
  if coalesce(v_key.last_used_at <= p_now - interval '1 minute', true) then
    -- Whoever holds the row is noting the same or ending the key: no caller waits for either.
    with free as (
      select k.id from credits.service_keys k where k.id = v_key.id for no key update skip locked
    )
    update credits.service_keys k set last_used_at = p_now from free f where k.id = f.id;
  end if;
  return jsonb_build_object(
    'status', v_status,
    'id', v_key.id,
    'appId', v_key.app_id,
    'scopes', to_jsonb(v_key.scopes),
    'isCapped', v_key.daily_cap is not null
  );
end
$$;

comment on function credits.service_key(bytea, timestamptz) is
  'What the key with this sha256 may do: { status: "active", id, appId, scopes, isCapped }, or { status } alone: "unknown", "revoked" or "expired". Notes the use, at most once a minute a key. For mana_service.';
