create or replace function credits.lock_caps(p_key_ids uuid[], p_now timestamptz)
returns credits.cap_count[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_day date := (p_now at time zone 'UTC')::date;
  v_resets_in_seconds bigint := ceil(extract(epoch from (v_day + 1)::timestamp at time zone 'UTC' - p_now));
  v_caps credits.cap_count[];
begin
  insert into credits.service_key_days (key_id, day, spent)
  select distinct k.first_id, v_day, 0
  from credits.service_keys k
  where k.id = any (p_key_ids) and k.daily_cap is not null
  order by k.first_id
  on conflict (key_id, day) do nothing;

  select array_agg(row(c.first_id, c.key_ids, v_day, c.daily_cap, d.spent, v_resets_in_seconds)::credits.cap_count)
  into v_caps
  from (
    select k.first_id, k.daily_cap, array_agg(k.id) as key_ids
    from credits.service_keys k
    where k.id = any (p_key_ids) and k.daily_cap is not null
    group by k.first_id, k.daily_cap
  ) c
  join (
    select l.key_id, l.spent
    from credits.service_key_days l
    where l.day = v_day
      and l.key_id in (select k.first_id from credits.service_keys k where k.id = any (p_key_ids))
    order by l.key_id
    for no key update
  ) d on d.key_id = c.first_id;
  return coalesce(v_caps, '{}');
end
$$;

comment on function credits.lock_caps(uuid[], timestamptz) is
  'Locks what the day has used of these keys'' caps, in order, and returns it; keys without a cap aren''t in it. After the balances: nobody who holds a cap waits for a balance. Internal.';
