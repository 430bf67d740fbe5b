create or replace function ops.create_service_key(
  p_app_id text,
  p_scopes text[],
  p_prefix text,
  p_hash bytea,
  p_who text,
  p_daily_cap bigint default null,
  p_expires_at timestamptz default null,
  p_now timestamptz default now()
)
returns ops.service_key
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_known text[] := enum_range(null::credits.service_scope)::text[];
  v_key credits.service_keys;
begin
  if coalesce(char_length(p_app_id) > 64 or p_app_id !~ '^[!-~]([ -~]*[!-~])?$', true) then
    perform credits.invalid('appId', 'must be 1 to 64 printable ASCII characters, as in X-App-Id');
  end if;
  if coalesce(cardinality(p_scopes) = 0 or not p_scopes <@ v_known, true) then
    perform credits.invalid('scopes', format('must be one or more of %s', array_to_string(v_known, ', ')));
  end if;
  if p_daily_cap not between 1 and 9007199254740991 then
    perform credits.invalid('dailyCap', 'must be a whole number of credits from 1');
  end if;
  if p_expires_at <= p_now then
    perform credits.invalid('expiresAt', 'must be in the future');
  end if;
  v_key.id := uuidv7();
  v_key.first_id := v_key.id;
  v_key.app_id := p_app_id;
  v_key.scopes := array(select distinct s::credits.service_scope as scope from unnest(p_scopes) s order by scope);
  v_key.daily_cap := p_daily_cap;
  v_key.expires_at := p_expires_at;
  v_key.created_at := p_now;
  return ops.add_service_key(v_key, p_prefix, p_hash, p_who);
end
$$;

comment on function ops.create_service_key(text, text[], text, bytea, text, bigint, timestamptz, timestamptz) is
  'Lets a service in that shows the secret with this sha256: for one app, within scopes (read, use, reserve, refund, grant, init, gifts, sync), with a cap of credits debited or held a UTC day (null: none), until an expiry (null: none); p_who signs. The secret is 256 random bits and never comes here: `node src/main.ts keys create` makes it. Returns the key as ops.service_keys() shows it. CR001 invalid argument. For mana_ops.';
