create or replace function credits.history(
  p_user_id text,
  p_limit integer default 50,
  p_before uuid default null,
  p_offset integer default 0,
  p_type text default null,
  p_app_id text default null,
  p_from timestamptz default null,
  p_to timestamptz default null
)
returns jsonb
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_before_seq bigint;
  v_page credits.transactions[];
begin
  perform credits.check_text('userId', p_user_id, 128);
  if p_limit is null or p_limit not between 1 and 200 then
    perform credits.invalid('limit', 'must be a whole number from 1 to 200');
  end if;
  if p_offset is null or p_offset not between 0 and 1000000 then
    perform credits.invalid('offset', 'must be a whole number from 0 to 1000000: use before to go further');
  end if;
  if p_type is not null and p_type <> all (enum_range(null::credits.transaction_type)::text[]) then
    perform credits.invalid(
      'type', 'must be one of ' || array_to_string(enum_range(null::credits.transaction_type), ', ')
    );
  end if;
  if p_before is not null then
    select t.seq into v_before_seq from credits.transactions t where t.user_id = p_user_id and t.id = p_before;
    if not found then
      raise exception using
        errcode = 'CR004', message = 'There is no such transaction in this account to page from.',
        detail = jsonb_build_object('transactionId', p_before);
    end if;
  end if;

  -- By seq, not by time: the order in which the rows were written, whatever any clock said.
  select coalesce(array_agg(page order by page.seq desc), '{}')
  into v_page
  from (
    select *
    from credits.transactions t
    where t.user_id = p_user_id
      and (v_before_seq is null or t.seq < v_before_seq)
      and (p_type is null or t.type = p_type::credits.transaction_type)
      and (p_app_id is null or t.app_id = p_app_id)
      and (p_from is null or t.created_at >= p_from)
      and (p_to is null or t.created_at < p_to)
    order by t.seq desc
    limit p_limit + 1 -- one more than asked, to know whether there is a next page
    offset p_offset
  ) page;

  return jsonb_build_object(
    'transactions', (
      select coalesce(jsonb_agg(credits.transaction_json(t) order by t.seq desc), '[]')
      from unnest(v_page[1:p_limit]) t
    ),
    'next', case when cardinality(v_page) > p_limit then v_page[p_limit].id end
  );
end
$$;

comment on function credits.history(text, integer, uuid, integer, text, text, timestamptz, timestamptz) is
  'A page of a user''s ledger, newest first: { transactions, next }; next is the id to pass as p_before for the following page, null on the last. p_limit 1 to 200; p_from inclusive, p_to exclusive. CR001 invalid argument, CR004 p_before is not in this account. For mana_service, mana_ops and mana_readonly.';
