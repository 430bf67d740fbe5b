create or replace function credits.price(p_operation text, p_quantity bigint default 1)
returns bigint
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_credits bigint;
begin
  if p_quantity is null or p_quantity not between 1 and 1000000 then
    perform credits.invalid('quantity', 'must be a whole number from 1 to 1000000');
  end if;
  select o.credits into v_credits from credits.operations o where o.operation = p_operation;
  if not found then
    perform credits.invalid('operation', 'is not on the price list: see credits.pricing()');
  end if;
  if v_credits * p_quantity > 1000000000 then
    perform credits.invalid('quantity', format('costs %s credits, more than 1000000000', v_credits * p_quantity));
  end if;
  return v_credits * p_quantity;
end
$$;

comment on function credits.price(text, bigint) is
  'Credits that a number of units of an operation costs. CR001: not on the list, or quantity not 1 to 1,000,000. Internal.';
