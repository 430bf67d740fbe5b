create or replace function credits.expire_reservations(p_now timestamptz default now(), p_limit integer default 1000)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_ids text[];
  v_expired bigint;
  v_capped credits.reservations[];
begin
  if p_limit is null or p_limit not between 1 and 10000 then
    perform credits.invalid('limit', 'must be a whole number from 1 to 10000');
  end if;
  -- Balances first, in order. One that somebody is using is left for the next run.
  select array_agg(locked.user_id)
  into v_user_ids
  from (
    select b.user_id
    from credits.balances b
    where b.user_id in (
      select r.user_id
      from credits.reservations r
      where r.status = 'open' and r.expires_at <= p_now
      order by r.expires_at
      limit p_limit
    )
    order by b.user_id
    for no key update skip locked
  ) locked;

  with expired as (
    update credits.reservations r
    set status = 'expired', closed_at = p_now
    where r.user_id = any (v_user_ids) and r.status = 'open' and r.expires_at <= p_now
    returning r.*
  ), freed as (
    update credits.balances b
    set held = b.held - e.amount, updated_at = p_now
    from (select x.user_id, sum(x.amount) as amount from expired x group by x.user_id) e
    where b.user_id = e.user_id
  )
  select count(*), array_agg(row(x.*)::credits.reservations) filter (where x.service_key_id is not null)
  into v_expired, v_capped
  from expired x;
  perform credits.settle(u.user_id, p_now) from unnest(v_user_ids) u (user_id);
  perform credits.free_caps(v_capped);
  return jsonb_build_object('expired', v_expired);
end
$$;

comment on function credits.expire_reservations(timestamptz, integer) is
  'Sets holds past their expiry free: those of the users of the p_limit (1 to 10,000) oldest, skipping users somebody has locked. Answers { expired }, their number; call again until it is 0. CR001 limit. For mana_service and mana_ops.';
