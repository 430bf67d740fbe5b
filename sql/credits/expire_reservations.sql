create or replace function credits.expire_reservations(p_now timestamptz default now(), p_limit integer default 1000)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_due text[];
  v_user_ids text[];
  -- In use by somebody, or broken: this call does without them.
  v_passed text[] := '{}';
  v_expired bigint := 0;
begin
  if p_limit is null or p_limit not between 1 and 10000 then
    perform credits.invalid('limit', 'must be a whole number from 1 to 10000');
  end if;

  -- Until something was set free: however many are passed, they keep nobody behind them waiting.
  while v_expired = 0 loop
    v_due := array(
      select r.user_id
      from credits.reservations r
      where r.status = 'open' and r.expires_at <= p_now and r.user_id <> all (v_passed)
      order by r.expires_at
      limit p_limit
    );
    exit when cardinality(v_due) = 0;
    v_passed := v_passed || v_due;
    -- Balances first, in order. One that somebody is using is left for the next run.
    v_user_ids := array(
      select b.user_id
      from credits.balances b
      where b.user_id = any (v_due)
      order by b.user_id
      for no key update skip locked
    );
    v_expired := credits.expire_holds_of(v_user_ids, p_now);
  end loop;
  return jsonb_build_object('expired', v_expired);
end
$$;

comment on function credits.expire_reservations(timestamptz, integer) is
  'Sets holds past their expiry free: those of the users of the p_limit (1 to 10,000) oldest, skipping users somebody has locked, and whoever is broken (a warning says who). Answers { expired }, their number; call again until it is 0. CR001 limit. For mana_service and mana_ops.';
