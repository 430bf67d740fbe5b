create or replace function gifts.created_by(
  p_user_id text, p_limit integer default 100, p_before uuid default null, p_now timestamptz default now()
)
returns jsonb
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_page gifts.gift_codes[];
begin
  perform credits.check_text('userId', p_user_id, 128);
  if p_limit is null or p_limit not between 1 and 200 then
    perform credits.invalid('limit', 'must be a whole number from 1 to 200');
  end if;
  select coalesce(array_agg(page order by page.id desc), '{}')
  into v_page
  from (
    select *
    from gifts.gift_codes g
    where g.creator_id = p_user_id and (p_before is null or g.id < p_before)
    order by g.id desc
    limit p_limit + 1 -- one more than asked, to know whether there is a next page
  ) page;
  return jsonb_build_object(
    'gifts', (
      select coalesce(jsonb_agg(gifts.gift_json(g, p_now) order by g.id desc), '[]') from unnest(v_page[1:p_limit]) g
    ),
    'next', case when cardinality(v_page) > p_limit then v_page[p_limit].id end
  );
end
$$;

comment on function gifts.created_by(text, integer, uuid, timestamptz) is
  'A page of the gifts a user gave, newest first: { gifts, next }, each gift as gifts.create answers it, with its state now; next is the id to pass as p_before for the following page, null on the last. p_limit 1 to 200. CR001 invalid argument. For mana_service and mana_ops.';
