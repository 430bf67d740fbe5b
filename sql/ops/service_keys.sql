create or replace function ops.service_keys(p_now timestamptz default now())
returns setof ops.service_key
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    k.id,
    k.prefix,
    k.app_id,
    k.scopes::text[],
    credits.service_key_status(k, p_now),
    k.daily_cap,
    case when k.daily_cap is not null then coalesce(d.spent, 0) end,
    k.created_at,
    k.created_by,
    k.expires_at,
    k.revoked_at,
    k.revoked_by,
    n.prefix,
    k.last_used_at
  from credits.service_keys k
  left join credits.service_key_days d on d.key_id = k.first_id and d.day = (p_now at time zone 'UTC')::date
  left join credits.service_keys n on n.replaces_id = k.id
  order by k.app_id, k.id;
$$;

comment on function ops.service_keys(timestamptz) is
  'Every service key, by app and age, those that have ended too; nothing of a secret but its prefix. spent_today counts against daily_cap, in credits since midnight UTC, together with the keys it was rotated from and to; replaced_by is the prefix of the key that follows it. For mana_ops and mana_readonly.';
