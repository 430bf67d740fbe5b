create or replace function sync.price(p_interval text)
returns credits.sync_prices
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_price credits.sync_prices;
begin
  select * into v_price from credits.sync_prices p where p.interval = p_interval;
  if not found then
    perform credits.invalid('interval', (
      select 'must be one of ' || string_agg(p.interval, ', ' order by p.sort_order) from credits.sync_prices p
    ));
  end if;
  return v_price;
end
$$;

comment on function sync.price(text) is
  'Credits and months of an interval. CR001: no such interval. Internal.';
