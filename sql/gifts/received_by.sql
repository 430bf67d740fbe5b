create or replace function gifts.received_by(
  p_user_id text, p_limit integer default 100, p_before uuid default null
)
returns jsonb
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_before_transaction_id uuid;
  v_page gifts.gift_redemptions[];
begin
  perform credits.check_text('userId', p_user_id, 128);
  if p_limit is null or p_limit not between 1 and 200 then
    perform credits.invalid('limit', 'must be a whole number from 1 to 200');
  end if;
  if p_before is not null then
    select r.transaction_id into v_before_transaction_id
    from gifts.gift_redemptions r
    where r.user_id = p_user_id and r.gift_id = p_before;
    if not found then
      raise exception using
        errcode = 'CR201', message = 'You received no such gift to page from.',
        detail = jsonb_build_object('giftId', p_before);
    end if;
  end if;
  -- By ledger row: its id is drawn when the gift arrives, and is in order for one user.
  select coalesce(array_agg(page order by page.transaction_id desc), '{}')
  into v_page
  from (
    select *
    from gifts.gift_redemptions r
    where r.user_id = p_user_id and (p_before is null or r.transaction_id < v_before_transaction_id)
    order by r.transaction_id desc
    limit p_limit + 1 -- one more than asked, to know whether there is a next page
  ) page;
  return jsonb_build_object(
    'gifts', (
      select coalesce(
        jsonb_agg(
          jsonb_build_object(
            'id', g.id,
            'code', gifts.shown_code(g.code),
            'credits', g.total_credits,
            'message', g.message,
            'creatorName', g.creator_name,
            'redeemedAt', credits.iso8601(r.redeemed_at)
          )
          order by r.transaction_id desc
        ),
        '[]'
      )
      from unnest(v_page[1:p_limit]) r
      join gifts.gift_codes g on g.id = r.gift_id
    ),
    'next', case when cardinality(v_page) > p_limit then v_page[p_limit].gift_id end
  );
end
$$;

comment on function gifts.received_by(text, integer, uuid) is
  'A page of the gifts a user redeemed, newest first: { gifts: [{ id, code, credits, message, creatorName, redeemedAt }], next }; next is the id to pass as p_before for the following page, null on the last. p_limit 1 to 200. CR001 invalid argument, CR201 p_before isn''t one of them. For mana_service and mana_ops.';
