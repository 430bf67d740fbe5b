create or replace function gifts.redeem_pending(
  p_user_id text,
  p_email text,
  p_limit integer default 100,
  p_caller text default session_user,
  p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_email text := gifts.normal_email(p_email);
  v_ids uuid[];
  v_creator_ids text[];
  v_posting credits.posting;
  v_gift gifts.gift_codes;
  v_redeemed bigint := 0;
  v_total_credits bigint := 0;
  v_failed bigint := 0;
begin
  perform credits.check_text('userId', p_user_id, 128);
  perform credits.check_text('email', v_email, 254);
  if p_limit is null or p_limit not between 1 and 1000 then
    perform credits.invalid('limit', 'must be a whole number from 1 to 1000');
  end if;

  select array_agg(g.id), array_agg(g.creator_id)
  into v_ids, v_creator_ids
  from (
    select o.id, o.creator_id
    from gifts.gift_codes o
    where o.target_email = v_email and o.status = 'active' and o.expires_at > p_now
    order by o.id
    limit p_limit + 1 -- one more than we redeem, to know whether there are more
  ) g;
  if v_ids is not null then
    perform gifts.lock_balances(v_creator_ids[1:p_limit] || p_user_id);
  end if;

  v_posting.caller := p_caller;
  -- Those that are still open under the lock. Each stands alone: what goes wrong with one is its own affair.
  for v_gift in
    select *
    from gifts.gift_codes g
    where g.id = any (v_ids[1:p_limit]) and g.status = 'active'
    order by g.id
    for no key update
  loop
    begin
      perform gifts.pay_out(v_gift, p_user_id, v_posting, p_now);
      v_redeemed := v_redeemed + 1;
      v_total_credits := v_total_credits + v_gift.total_credits;
    exception when others then
      -- Not the gift's fault: the whole call is made again.
      if credits.is_passing_trouble(sqlstate) then
        raise;
      end if;
      raise warning 'gift % was not redeemed for user %: % (%)', v_gift.id, p_user_id, sqlerrm, sqlstate;
      v_failed := v_failed + 1;
    end;
  end loop;

  return jsonb_build_object(
    'redeemed', v_redeemed,
    'totalCredits', v_total_credits,
    'failed', v_failed,
    'more', coalesce(cardinality(v_ids) > p_limit, false)
  );
end
$$;

comment on function gifts.redeem_pending(text, text, integer, text, timestamptz) is
  'Pays every open personalized gift for an address to the user who was shown to own it, the p_limit (1 to 1000) oldest, each on its own. Answers { redeemed, totalCredits } of those really paid, failed (left open, logged as a warning) and more: true when the limit left some; call it again then. Safe to repeat. CR001 invalid argument. For mana_service and mana_ops.';
