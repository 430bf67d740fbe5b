create or replace function gifts.expire(
  p_now timestamptz default now(), p_limit integer default 500, p_caller text default session_user
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_ids uuid[];
  v_passed uuid[] := '{}';
  v_user_ids text[];
  v_gift gifts.gift_codes;
  v_expired bigint := 0;
  v_total_credits bigint := 0;
  v_failed bigint := 0;
begin
  if p_limit is null or p_limit not between 1 and 10000 then
    perform credits.invalid('limit', 'must be a whole number from 1 to 10000');
  end if;
  -- Until something was returned: however many are in use or broken, they keep none behind them waiting.
  while v_expired = 0 loop
    v_ids := array(
      select o.id
      from gifts.gift_codes o
      where o.status = 'active' and o.expires_at <= p_now and o.id <> all (v_passed)
      order by o.expires_at
      limit p_limit
    );
    exit when cardinality(v_ids) = 0;
    v_passed := v_passed || v_ids;
    -- Balances first, in order, then their gifts. What somebody is using is left for the next run.
    select array_agg(locked.user_id)
    into v_user_ids
    from (
      select b.user_id
      from credits.balances b
      where b.user_id in (select g.creator_id from gifts.gift_codes g where g.id = any (v_ids))
      order by b.user_id
      for no key update skip locked
    ) locked;

    for v_gift in
      select *
      from gifts.gift_codes g
      where g.id = any (v_ids) and g.creator_id = any (v_user_ids) and g.status = 'active'
      order by g.id
      for no key update skip locked
    loop
      begin
        perform gifts.give_back(v_gift, 'expired', p_caller, p_now);
        v_expired := v_expired + 1;
        v_total_credits := v_total_credits + v_gift.total_credits;
      exception when others then
        -- Not the gift's fault: the next run tries again.
        if credits.is_passing_trouble(sqlstate) then
          raise;
        end if;
        raise warning 'gift % was not returned: % (%)', v_gift.id, sqlerrm, sqlstate;
        v_failed := v_failed + 1;
      end;
    end loop;
  end loop;
  return jsonb_build_object('expired', v_expired, 'totalCredits', v_total_credits, 'failed', v_failed);
end
$$;

comment on function gifts.expire(timestamptz, integer, text) is
  'Returns the credits of gifts past their expiry to who gave them: the p_limit (1 to 10,000) oldest, skipping what somebody has locked, each on its own. Answers { expired, totalCredits, failed }, numbers of this run; call again until expired is 0. CR001 limit. For mana_service and mana_ops.';
