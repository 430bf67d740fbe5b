create or replace function credits.purchases(p_user_id text, p_limit integer default 200)
returns jsonb
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform credits.check_text('userId', p_user_id, 128);
  if p_limit is null or p_limit not between 1 and 200 then
    perform credits.invalid('limit', 'must be a whole number from 1 to 200');
  end if;
  return (
    select coalesce(jsonb_agg(credits.purchase_json(page.purchase) order by (page.purchase).id desc), '[]')
    from (
      select p as purchase
      from credits.purchases p
      where p.user_id = p_user_id
      order by p.id desc
      limit p_limit
    ) page
  );
end
$$;

comment on function credits.purchases(text, integer) is
  'A user''s latest purchases (p_limit 1 to 200), newest first, each as credits.purchase answers it. CR001 invalid argument. For mana_service, mana_ops and mana_readonly.';
