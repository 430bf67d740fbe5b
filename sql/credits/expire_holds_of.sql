create or replace function credits.expire_holds_of(p_user_ids text[], p_now timestamptz)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_middle integer := cardinality(p_user_ids) / 2;
  v_expired bigint;
  v_capped credits.reservations[];
begin
  begin
    with expired as (
      update credits.reservations r
      set status = 'expired', closed_at = p_now
      where r.user_id = any (p_user_ids) and r.status = 'open' and r.expires_at <= p_now
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
    perform credits.settle(u.user_id, p_now) from unnest(p_user_ids) u (user_id);
    perform credits.free_caps(v_capped);
    return v_expired;
  exception when others then
    if credits.is_passing_trouble(sqlstate) then
      raise;
    end if;
    if v_middle = 0 then
      raise warning 'the holds of % were not set free: % (%)', p_user_ids[1], sqlerrm, sqlstate;
      return 0;
    end if;
  end;
  -- Undone because of somebody among them: halve until who is broken is alone.
  return credits.expire_holds_of(p_user_ids[:v_middle], p_now)
    + credits.expire_holds_of(p_user_ids[v_middle + 1:], p_now);
end
$$;

comment on function credits.expire_holds_of(text[], timestamptz) is
  'Sets the holds past their expiry of these users free; answers how many. Whoever is broken is passed with a warning. The caller holds the balances'' locks. Internal to credits.expire_reservations.';
