create or replace function credits.usage(
  p_user_id text,
  p_from timestamptz default null,
  p_to timestamptz default null,
  p_group_by text default null
)
returns jsonb
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_by_day boolean := coalesce(p_group_by, 'day') = 'day';
  v_by_app boolean := coalesce(p_group_by, 'app') = 'app';
begin
  perform credits.check_text('userId', p_user_id, 128);
  if p_group_by not in ('day', 'app') then
    perform credits.invalid('groupBy', 'must be day or app');
  end if;
  return (
    select coalesce(
      jsonb_agg(
        jsonb_strip_nulls(
          jsonb_build_object('day', g.day, 'appId', g.app_id, 'creditsUsed', g.credits_used, 'count', g.count)
        )
        order by g.day desc nulls last, g.app_id
      ),
      '[]'
    )
    from (
      select
        case when v_by_day then s.day end as day,
        case when v_by_app then s.app_id end as app_id,
        sum(s.credits_used)::bigint as credits_used,
        sum(s.count)::bigint as count
      from credits.usage_stats s
      where s.user_id = p_user_id
        and (p_from is null or s.day >= (p_from at time zone 'UTC')::date)
        and (p_to is null or s.day <= (p_to at time zone 'UTC')::date)
      group by 1, 2
    ) g
  );
end
$$;

comment on function credits.usage(text, timestamptz, timestamptz, text) is
  'What a user spent, in credits and number of debits: [{ day?, appId?, creditsUsed, count }], days in UTC, newest first, both ends included; p_group_by day, app, or null for both. CR001 invalid argument. For mana_service, mana_ops and mana_readonly.';
